"""Nearest and bilinear resizing of quantized images."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnc_tvm.relay_passes.composites.match import Match, parse_operand, parse_output, single_use, unsigned_activations
from nnc_tvm.relay_passes.graph import Graph, operator_name, tensor_type
from nnc_tvm.schedules.operators import ResizeBilinear, ResizeNearest
from nnc_tvm.schedules.operators.resize import ONE, division_by_weights
from nnc_tvm.schedules.quantization import Mode, Requantize, convolution_scale, make_requantize

Expr = Any
# what LiteRT's two resizes can be: coordinate transformation -> how the nearest neighbour is rounded
LITERT = {"asymmetric": "floor", "half_pixel": "round_prefer_ceil", "align_corners": "round_prefer_ceil"}


def source_positions(extent: int, out: int, mode: str) -> np.ndarray:
    """Where in the source (float64) each of `out` positions lies, by ONNX's coordinate transformation."""
    i, scale = np.arange(out, dtype=np.float64), extent / out
    transformations = {
        "half_pixel": (i + 0.5) * scale - 0.5, "asymmetric": i * scale, "align_corners": i * (extent - 1) / max(out - 1, 1),
        "pytorch_half_pixel": (i + 0.5) * scale - 0.5 if out > 1 else np.zeros(1),
    }
    return transformations[mode]


def nearest_index(extent: int, out: int, mode: str, rounding: str) -> np.ndarray:
    """int32 (out,) source index of nearest-neighbour resizing."""
    p = source_positions(extent, out, mode)
    rounded = {
        "floor": np.floor(p), "": np.floor(p), "ceil": np.ceil(p), "round": np.floor(p + 0.5),
        "round_prefer_floor": np.ceil(p - 0.5), "round_prefer_ceil": np.floor(p + 0.5),
    }
    return np.clip(rounded[rounding], 0, extent - 1).astype(np.int32)


def linear_neighbours(extent: int, out: int, mode: str) -> tuple[np.ndarray, np.ndarray]:
    """(neighbours, weights), int32 (out, 2) each; weights in units of 2^-10, each pair sums to 1024."""
    p = np.clip(source_positions(extent, out, mode), 0, extent - 1)
    low = np.floor(p).astype(np.int32)
    upper = np.rint((p - low) * ONE).astype(np.int32)
    return np.stack([low, np.minimum(low + 1, extent - 1)], 1), np.stack([ONE - upper, upper], 1)


def float_nearest(variable: Expr, call: Expr) -> Match | None:
    """resize2d(x) by the nearest neighbour: rounding positions at compile time decides halves as ONNX does, float32 at run time would not."""
    source, target = tensor_type(call.args[0]), tensor_type(variable)
    if str(call.attrs.method) != "nearest_neighbor":
        return None
    mode, rounding = str(call.attrs.coordinate_transformation_mode), str(call.attrs.rounding_method)
    rows, columns = (nearest_index(e, o, mode, rounding) for e, o in zip(source.shape[1:3], target.shape[1:3], strict=True))
    return Match(ResizeNearest((source,), target, rows, columns), (call.args[0],), (variable,))


def match_resize(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """[quantize](resize2d([dequantize](x))), NHWC; integers where both ends are, nearest neighbours also in float."""
    out = parse_output(graph, variable)
    call = graph.definition(out.real)
    if operator_name(call) != "relax.image.resize2d" or str(call.attrs.layout) != "NHWC":
        return None
    if out.quantization is None and out.real is variable and str(call.attrs.coordinate_transformation_mode) != "tf_crop_and_resize":
        return float_nearest(variable, call)
    if out.quantization is None or not single_use(graph, out.real):
        return None
    x = parse_operand(graph, call.args[0])
    if x.int8 is None:
        return None
    a, source, target = call.attrs, x.type, tensor_type(variable)
    quantization = x.int8.scalar(), out.quantization.scalar()
    (si, zi), (so, zo) = quantization
    transformation: Any = str(a.coordinate_transformation_mode)
    extents = list(zip(source.shape[1:3], target.shape[1:3], strict=True))
    if str(a.method) == "nearest_neighbor" and (si, zi) == (so, zo) and out.integer_bounds() == (-128, 127):
        if mode == "fixed" and LITERT.get(transformation) == str(a.rounding_method):
            return Match(ResizeNearest.build(source, target, transformation), (x.expr,), (out.real, *out.covered))
        rows, columns = (nearest_index(e, o, transformation, str(a.rounding_method)) for e, o in extents)
        return Match(ResizeNearest((source,), target, rows, columns), (x.expr,), (out.real, *out.covered))
    if str(a.method) != "linear":
        return None
    same, low, high = (si, zi) == (so, zo), *out.integer_bounds()
    if mode == "fixed" and transformation in LITERT and not (same and unsigned_activations(graph)):
        return Match(ResizeBilinear.build(mode, source, target, transformation, quantization, low, high), (x.expr,), (out.real, *out.covered))
    requantize: Requantize = make_requantize(mode, convolution_scale(si, 1, so) / ONE**2, zo, low, high)
    if mode == "fixed" and same:  # LiteRT's uint8 kernel rounds the uint8 values, halves up
        zi, requantize = -128, division_by_weights(-128, low, high)
    (rows, row_weights), (columns, column_weights) = (linear_neighbours(e, o, transformation) for e, o in extents)
    return Match(ResizeBilinear((source,), target, rows, columns, row_weights, column_weights, zi, requantize), (x.expr,), (out.real, *out.covered))
