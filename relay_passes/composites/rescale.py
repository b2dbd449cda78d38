"""Between scales, and in and out of the integer graph."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nnc_tvm.relay_passes.composites.match import Match, parse_operand, parse_output, unsigned_activations
from nnc_tvm.relay_passes.graph import Graph, constant, operator_name, tensor_type
from nnc_tvm.relay_passes.qdq import quantization_of
from nnc_tvm.schedules.fixed_point import round_half_away
from nnc_tvm.schedules.operators import Dequantize, FlipSign, Quantize, Rescale, Table
from nnc_tvm.schedules.operators.unary import fixed_table
from nnc_tvm.schedules.quantization import Mode, QuantParams

Expr = Any
# activations that LiteRT has kernels of their own for
LITERT_CLAMPS = {(0.0, math.inf): "relu", (0.0, 6.0): "relu6", (-1.0, 1.0): "relu_n1_to_1"}


def concatenation_table(source: QuantParams, output: QuantParams) -> np.ndarray:
    """int8 (256,): how LiteRT's uint8 CONCATENATION brings an input to the output's scale, in float32 on the uint8 values; halves away from zero."""
    (si, zi), (so, zo) = source.scalar(), output.scalar()
    factor = np.float32(si) * (np.float32(1) / np.float32(so))
    real = (np.arange(256, dtype=np.float32) * factor + np.float32(-(zi + 128)) * factor).astype(np.float64)
    return np.clip(round_half_away(real) + zo, -128, 127).astype(np.int8)


def match_rescale(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """quantize(clamp(dequantize(x))): the same reals on another scale; uint8 <-> int8 on one scale flips the sign bit."""
    value = graph.definition(variable)
    if operator_name(value) != "relax.quantize":
        return None
    target = quantization_of(value)
    out = parse_output(graph, variable)
    if out.quantization is None:
        x = parse_operand(graph, value.args[0])
        if target is None or x.quantization is None or x.array is not None:
            return None
        if {target.dtype, x.quantization.dtype} != {"int8", "uint8"} or not np.array_equal(target.scale, x.quantization.scale):
            return None
        return Match(FlipSign((x.type,), tensor_type(variable)), (x.expr,), (variable,))
    x = parse_operand(graph, out.real)
    if x.quantization is None or x.array is not None or not x.quantization.per_tensor or x.quantization.dtype not in ("int8", "uint8", "int32"):
        return None
    (si, zi), (so, zo) = x.quantization.scalar(), out.quantization.scalar()
    if x.quantization.dtype == "uint8" and (si, zi - 128) == (so, zo) and out.integer_bounds() == (-128, 127):
        return Match(FlipSign((x.type,), tensor_type(variable)), (x.expr,), tuple(out.covered))
    if mode == "fixed" and unsigned_activations(graph) and x.quantization.dtype == "int8" and graph.readers.get(variable) == {"relax.concat"}:
        return Match(Table((x.type,), tensor_type(variable), concatenation_table(x.quantization, out.quantization)), (x.expr,), tuple(out.covered))
    if mode == "fixed" and (out.low, out.high) in LITERT_CLAMPS and x.quantization.dtype == "int8":
        table = fixed_table(LITERT_CLAMPS[out.low, out.high], {}, x.quantization, out.quantization)
        return Match(Table((x.type,), tensor_type(variable), table), (x.expr,), tuple(out.covered))
    operator = Rescale.build(mode, x.type, tensor_type(variable), ((si, zi), (so, zo)), *out.integer_bounds())
    return Match(operator, (x.expr,), tuple(out.covered))


def match_quantize(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """quantize(clamp(float x)) to int8."""
    out = parse_output(graph, variable)
    if out.quantization is None or constant(graph.definition(out.real)) is not None or tensor_type(out.real).dtype != "float32":
        return None
    scale, zero = out.quantization.scalar()
    operator = Quantize((tensor_type(out.real),), tensor_type(variable), scale, zero, *out.integer_bounds(), half_away=mode == "fixed")
    return Match(operator, (out.real,), tuple(out.covered))


def match_dequantize(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """dequantize(x) that a float operator or the caller reads."""
    del mode
    value = graph.definition(variable)
    q = quantization_of(value)
    if operator_name(value) != "relax.dequantize" or q is None or not q.per_tensor or constant(value.args[0]) is not None or q.dtype not in ("int8", "int32"):
        return None
    scale, zero = q.scalar()
    return Match(Dequantize((tensor_type(value.args[0]),), tensor_type(variable), scale, zero), (value.args[0],), (variable,))
