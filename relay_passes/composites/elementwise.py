"""Addition, subtraction and multiplication of two quantized tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax

from nnc_tvm.relay_passes.composites.match import Leaf, Match, parse_operand, parse_output, real_values, single_use
from nnc_tvm.relay_passes.graph import Graph, operator_name, tensor_type
from nnc_tvm.schedules.operators import LinearCombination, Multiply, TensorType
from nnc_tvm.schedules.quantization import Mode, QuantParams

Expr = Any
GRID_TOLERANCE = 1e-3  # steps; a constant so far off moves the sum or product by less than a thousandth of a step of the operand's own


def _integer_operand(leaf: Leaf) -> Leaf | None:
    """The operand as int8 on one scale. Constants that are not get one by their largest value, where that leaves every value as it is."""
    if leaf.int8 is not None:
        return leaf
    values = real_values(leaf)
    if values is None or not np.all(np.isfinite(values)):
        return None
    scale = np.float32(np.abs(values).max(initial=0) / 127 or 1)
    integers = np.clip(np.rint(values / np.float64(scale)), -127, 127).astype(np.int8)
    if np.abs(values / np.float64(scale) - integers).max(initial=0) > GRID_TOLERANCE:
        return None
    return Leaf(relax.const(integers), QuantParams(np.asarray(scale), np.zeros((), np.int32), "int8"), integers, [])


def _operands(graph: Graph, variable: Expr, name: str) -> tuple[Any, tuple[Leaf, Leaf], tuple[TensorType, TensorType], tuple[tuple[float, int], ...]] | None:
    out = parse_output(graph, variable)
    call = graph.definition(out.real)
    if out.quantization is None or operator_name(call) != name or not single_use(graph, out.real):
        return None
    a, b = (_integer_operand(parse_operand(graph, x)) for x in call.args[:2])
    if a is None or b is None or (a.array is not None and b.array is not None):
        return None
    assert a.quantization is not None and b.quantization is not None
    return out, (a, b), (a.type, b.type), (a.quantization.scalar(), b.quantization.scalar(), out.quantization.scalar())


def _linear(graph: Graph, variable: Expr, mode: Mode, name: str, sign: int) -> Match | None:
    found = _operands(graph, variable, name)
    if found is None:
        return None
    out, (a, b), types, quantization = found
    operator = LinearCombination.build(mode, types, tensor_type(variable), quantization, sign, *out.integer_bounds())
    return Match(operator, (a.expr, b.expr), (out.real, *out.covered))


def match_add(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """quantize(clamp(dequantize(a) + dequantize(b)))"""
    return _linear(graph, variable, mode, "relax.add", 1)


def match_subtract(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """quantize(clamp(dequantize(a) - dequantize(b)))"""
    return _linear(graph, variable, mode, "relax.subtract", -1)


def match_multiply(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """quantize(clamp(dequantize(a) * dequantize(b)))"""
    found = _operands(graph, variable, "relax.multiply")
    if found is None or found[1][0].expr.same_as(found[1][1].expr):
        return None
    out, (a, b), types, quantization = found
    operator = Multiply.build(mode, types, tensor_type(variable), quantization, *out.integer_bounds())
    return Match(operator, (a.expr, b.expr), (out.real, *out.covered))
