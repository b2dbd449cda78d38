"""Convolution, dense and matrix products, with bias, activation and requantization."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from nnc_tvm.errors import Unsupported
from nnc_tvm.relay_passes.composites.match import (
    Leaf,
    Match,
    Output,
    broadcastable,
    parse_operand,
    parse_output,
    real_values,
    single_use,
    unsigned_activations,
    with_bias,
)
from nnc_tvm.relay_passes.graph import Graph, operator_name, tensor_type
from nnc_tvm.schedules.operators import Conv2d, Dense, DepthwiseConv2d, MatMul, TensorType
from nnc_tvm.schedules.quantization import Epilogue, FixedRequantize, KeepInt32, Mode, convolution_scale, product_scale

Expr = Any
SUMS = frozenset({"relax.nn.conv2d", "relax.matmul"})


class Accumulator(Output):
    """The end of a pattern whose int32 sums are the result."""

    def epilogue(self, mode: Mode, scale: np.ndarray, float_kernel: bool) -> Epilogue:
        """The sums as they are; their unit must be 1."""
        return KeepInt32()


def contraction_output(graph: Graph, variable: Expr) -> Output:
    """As `parse_output`; a cast to int32 is the accumulator itself."""
    call = graph.definition(variable)
    if operator_name(call) == "relax.astype" and tensor_type(variable).dtype == "int32" and operator_name(graph.definition(call.args[0])) in SUMS:
        return Accumulator(call.args[0], None, -math.inf, math.inf, [variable])
    return parse_output(graph, variable)


def fits_accumulator(out: Output, integer: bool, unit: np.ndarray) -> bool:
    """Whether `out` takes sums in units of `unit`: results that are the sums themselves need integers of unit 1."""
    return not isinstance(out, Accumulator) or (integer and bool(np.all(unit == 1)))


def _bias_integers(bias: Leaf | None, unit: np.ndarray, channels: int, name: str) -> np.ndarray:
    """int32 (channels,) in units of `unit`, the product of input and weight scale."""
    if bias is None:
        return np.zeros(channels, np.int32)
    assert bias.array is not None
    q = bias.quantization
    if q is not None and bias.array.dtype == np.int32 and not np.any(q.zero_point) and np.allclose(q.scale, unit, rtol=1e-3):
        return bias.array.reshape(-1)
    values = np.rint(np.asarray(real_values(bias)).reshape(-1) / unit)
    if np.abs(values).max(initial=0) >= 2**31:
        raise Unsupported(f"'{name}': a bias of {np.abs(values).max():.3g} steps does not fit int32; quantize the layer with a larger scale or leave it float")
    return values.astype(np.int32)


def _weights(leaf: Leaf, order: list[int], channel_axis: int) -> tuple[np.ndarray, np.ndarray] | None:
    """(weights int16 without zero point, transposed by `order`; float64 scale () or (channels,)).

    None when they are quantized along another axis: no integer sum has one unit then.
    """
    q = leaf.quantization
    assert q is not None and leaf.array is not None
    if not q.per_tensor and q.axis != channel_axis:
        return None
    _, zero_point = broadcastable(q, leaf.array.ndim)
    wide = (leaf.array.astype(np.int32) - zero_point).astype(np.int16)
    return wide.transpose(order), q.scale.astype(np.float64)


def _unit(in_scale: float, weight_scale: np.ndarray, single: bool) -> np.ndarray:
    """The accumulator's unit, float64 () or (channels,). LiteRT multiplies in double, but per-tensor scales of FULLY_CONNECTED and of
    uint8 convolutions in float32 (`single`)."""
    if single and not weight_scale.ndim:
        return np.asarray(product_scale(in_scale, float(weight_scale), 1.0))
    return convolution_scale(in_scale, weight_scale, 1.0)


def _is_integer(x: Leaf, w: Leaf) -> bool:
    return x.int8 is not None and x.array is None and w.quantization is not None and w.array is not None and w.array.dtype in (np.int8, np.uint8)


def match_conv2d(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """conv2d in NHWC [+ bias] [+ clamp] [+ quantize]; integers when both operands are and the output channels have one scale each, else all float."""
    out = contraction_output(graph, variable)
    found = with_bias(graph, out, "relax.nn.conv2d")
    if found is None or any(v is not variable and not single_use(graph, v) for v in found[2]):
        return None
    core, bias, covered = found
    call = graph.definition(core)
    a = call.attrs
    x, w = parse_operand(graph, call.args[0]), parse_operand(graph, call.args[1])
    if str(a.data_layout) != "NHWC":
        return None
    layout = str(a.kernel_layout)
    order = [layout.index(c) for c in "OHWI"]
    packed = _weights(w, order, layout.index("O")) if _is_integer(x, w) else None
    channels = tensor_type(core).shape[-1]
    if packed is not None:
        weight, weight_scale = packed
        assert x.quantization is not None
        in_scale, in_zero = x.quantization.scalar()
        unit = _unit(in_scale, weight_scale, single=unsigned_activations(graph))
        bias_values: np.ndarray = _bias_integers(bias, unit, channels, variable.name)
        source: Expr = x.expr
    else:
        weights = real_values(w)
        if weights is None or out.quantization is not None:
            return None  # the float kernel is matched at the float value; the quantize stands alone
        weight, unit, in_zero = weights.astype(np.float32).transpose(order), np.ones(()), 0
        bias_values = np.zeros(channels, np.float32) if bias is None else np.asarray(real_values(bias)).astype(np.float32).reshape(-1)
        source = call.args[0]
    if not fits_accumulator(out, packed is not None, unit):
        return None
    padding = tuple(int(p) for p in a.padding)
    common: dict[str, Any] = {
        "inputs": (tensor_type(source),), "output": tensor_type(variable), "bias": bias_values, "epilogue": out.epilogue(mode, unit, packed is None),
        "input_zero_point": in_zero, "strides": tuple(int(s) for s in a.strides), "padding": padding, "dilation": tuple(int(d) for d in a.dilation),
    }
    groups = int(a.groups)
    in_channels = tensor_type(source).shape[-1]
    if groups == in_channels and groups > 1:
        kh, kw = weight.shape[1:3]
        # OHWI with I = 1; layouts with the channel first and a multiplier hold the same elements as (C, m)
        operator: Any = DepthwiseConv2d(weight=np.ascontiguousarray(weight.transpose(1, 2, 0, 3).reshape(kh, kw, channels)), **common)
    else:
        operator = Conv2d(weight=np.ascontiguousarray(weight), groups=groups, **common)
    return Match(operator, (source,), (*covered, *out.covered))


def match_dense(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """matmul with a constant right side [+ bias] [+ clamp] [+ quantize]."""
    out = contraction_output(graph, variable)
    found = with_bias(graph, out, "relax.matmul")
    if found is None or any(v is not variable and not single_use(graph, v) for v in found[2]):
        return None
    core, bias, covered = found
    call = graph.definition(core)
    x, w = parse_operand(graph, call.args[0]), parse_operand(graph, call.args[1])
    if w.array is None or w.array.ndim != 2:
        return None
    packed = _weights(w, [1, 0], 1) if _is_integer(x, w) else None
    channels = w.array.shape[1]
    if packed is not None:
        weight, weight_scale = packed
        assert x.quantization is not None
        in_scale, in_zero = x.quantization.scalar()
        unit = _unit(in_scale, weight_scale, single=True)
        bias_values: np.ndarray = _bias_integers(bias, unit, channels, variable.name)
        source: Expr = x.expr
    else:
        if out.quantization is not None:
            return None
        weight, unit, in_zero, source = np.asarray(real_values(w)).astype(np.float32).T, np.ones(()), 0, call.args[0]
        bias_values = np.zeros(channels, np.float32) if bias is None else np.asarray(real_values(bias)).astype(np.float32).reshape(-1)
    if not fits_accumulator(out, packed is not None, unit):
        return None
    epilogue = out.epilogue(mode, unit, packed is None)
    if isinstance(epilogue, FixedRequantize):
        epilogue = replace(epilogue, single_rounding=True)
    shape = tensor_type(source).shape
    rows = int(np.prod(shape[:-1]))
    x_type, y_type = tensor_type(source), tensor_type(variable)
    operator = Dense((TensorType((rows, shape[-1]), x_type.dtype),), TensorType((rows, channels), y_type.dtype), np.ascontiguousarray(weight), bias_values,
                     epilogue, in_zero)
    return Match(operator, (source,), (*covered, *out.covered))


def match_matmul(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """matmul of two activations of equal batch [+ clamp] [+ quantize]."""
    out = contraction_output(graph, variable)
    call = graph.definition(out.real)
    if operator_name(call) != "relax.matmul" or (out.real is not variable and not single_use(graph, out.real)):
        return None
    a, b = parse_operand(graph, call.args[0]), parse_operand(graph, call.args[1])
    if a.array is not None and b.array is not None:
        return None
    integer = a.int8 is not None and b.int8 is not None
    if not integer and (out.quantization is not None or any(x.quantization is not None and x.array is not None for x in (a, b))):
        return None
    left, right = (a.expr, b.expr) if integer else call.args[:2]
    ls, rs = tensor_type(left).shape, tensor_type(right).shape
    if len(ls) < 2 or len(rs) < 2 or ls[:-2] != rs[:-2]:
        return None
    batch = int(np.prod(ls[:-2]))
    unit, zeros = np.ones(()), (0, 0)
    if a.int8 is not None and b.int8 is not None:
        (sa, za), (sb, zb) = a.int8.scalar(), b.int8.scalar()
        unit, zeros = np.asarray(product_scale(sa, sb, 1.0)), (za, zb)
    if not fits_accumulator(out, integer, unit):
        return None
    dtype = tensor_type(left).dtype
    inputs = TensorType((batch, *ls[-2:]), dtype), TensorType((batch, *rs[-2:]), dtype)
    output = TensorType((batch, ls[-2], rs[-1]), tensor_type(variable).dtype)
    operator = MatMul(inputs, output, out.epilogue(mode, unit, not integer), zeros)
    return Match(operator, (left, right), (out.real, *out.covered))
