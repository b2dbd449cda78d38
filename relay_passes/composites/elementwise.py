"""Arithmetic on two quantized tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax

from nnc_tvm.reference import evaluate
from nnc_tvm.relay_passes.composites.match import Leaf, Match, Output, parse_operand, parse_output, real_values, single_use
from nnc_tvm.relay_passes.graph import Graph, operator_name, tensor_type
from nnc_tvm.schedules.operators import Divide, LinearCombination, Multiply, SquaredDifference, Table, TensorType
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


Operands = tuple[tuple[Leaf, Leaf], tuple[TensorType, TensorType], tuple[tuple[float, int], ...]]


def _operands(graph: Graph, out: Output, variable: Expr, name: str) -> Operands | None:
    """The operands of `variable`, a `name` of two tensors that nothing but `out` reads; with their types, and the (scale, zero point) of both and of `out`."""
    call = graph.definition(variable)
    if out.quantization is None or operator_name(call) != name or not single_use(graph, variable):
        return None
    a, b = (_integer_operand(parse_operand(graph, x)) for x in call.args[:2])
    if a is None or b is None or (a.array is not None and b.array is not None):
        return None
    assert a.quantization is not None and b.quantization is not None
    return (a, b), (a.type, b.type), (a.quantization.scalar(), b.quantization.scalar(), out.quantization.scalar())


def _linear(graph: Graph, variable: Expr, mode: Mode, name: str, sign: int) -> Match | None:
    out = parse_output(graph, variable)
    found = _operands(graph, out, out.real, name)
    if found is None:
        return None
    (a, b), types, quantization = found
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
    out = parse_output(graph, variable)
    found = _operands(graph, out, out.real, "relax.multiply")
    if found is None or found[0][0].expr.same_as(found[0][1].expr):
        return None
    (a, b), types, quantization = found
    operator = Multiply.build(mode, types, tensor_type(variable), quantization, *out.integer_bounds())
    return Match(operator, (a.expr, b.expr), (out.real, *out.covered))


def match_divide(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """`fixed`: quantize(clamp(dequantize(a) / dequantize(b)))"""
    out = parse_output(graph, variable)
    found = _operands(graph, out, out.real, "relax.divide") if mode == "fixed" else None
    if found is None or any(leaf.int8 is None for leaf in found[0]):
        return None
    (a, b), types, quantization = found
    operator = Divide.build(types, tensor_type(variable), quantization, *out.integer_bounds())
    if operator is None:
        return None
    source = next((x for x, other in ((a, b), (b, a)) if other.array is not None and other.array.size == 1 and x.type.shape == operator.output.shape), None)
    if source is not None:
        table = evaluate(operator, *(np.arange(-128, 128, dtype=np.int8) if leaf.array is None else leaf.array.reshape(1) for leaf in (a, b)))
        return Match(Table((source.type,), operator.output, table), (source.expr,), (out.real, *out.covered))
    return Match(operator, (a.expr, b.expr), (out.real, *out.covered))


def match_squared_difference(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """`fixed`: quantize(clamp(square(dequantize(a) - dequantize(b))))"""
    out = parse_output(graph, variable)
    call = graph.definition(out.real)
    if mode != "fixed" or out.quantization is None or operator_name(call) != "relax.square" or not single_use(graph, out.real):
        return None
    found = _operands(graph, out, call.args[0], "relax.subtract")
    if found is None:
        return None
    (a, b), types, quantization = found
    operator = SquaredDifference.build(types, tensor_type(variable), quantization, *out.integer_bounds())
    return Match(operator, (a.expr, b.expr), (call.args[0], out.real, *out.covered)) if operator is not None else None
