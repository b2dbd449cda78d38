"""Average pooling, means and sums (max pooling moves integers and needs no pattern)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nnc_tvm.relay_passes.composites.match import Match, Output, parse_operand, parse_output, single_use, unsigned_activations
from nnc_tvm.relay_passes.graph import Graph, operator_name, tensor_type
from nnc_tvm.schedules.operators import AveragePool2d, Mean, Sum
from nnc_tvm.schedules.quantization import FloatClamp, Mode

Expr = Any


def _output_of(graph: Graph, variable: Expr, name: str) -> Output | None:
    """The end of a pattern over the operator `name` whose result nothing else reads."""
    out = parse_output(graph, variable)
    taken = operator_name(graph.definition(out.real)) == name and (out.real is variable or single_use(graph, out.real))
    return out if taken else None


def match_average_pool(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """[quantize](clamp(avg_pool2d([dequantize](x)))), NHWC; integers where both ends are, or all float."""
    out = _output_of(graph, variable, "relax.nn.avg_pool2d")
    if out is None:
        return None
    a, source = graph.definition(out.real).attrs, graph.definition(out.real).args[0]
    x = parse_operand(graph, source)
    if str(a.layout) != "NHWC" or x.array is not None or any(int(d) != 1 for d in a.dilation):
        return None
    (kh, kw), (sh, sw), (top, left, bottom, right) = ([int(v) for v in values] for values in (a.pool_size, a.strides, a.padding))
    window = (kh, kw), (sh, sw), (top, left, bottom, right), bool(a.count_include_pad)
    if out.quantization is None and tensor_type(source).dtype == "float32":
        real = AveragePool2d((tensor_type(source),), tensor_type(variable), *window, 0, FloatClamp(out.low, out.high))
        return Match(real, (source,), (out.real, *out.covered))
    if out.quantization is None or x.int8 is None:
        return None
    operator = AveragePool2d.build(mode, x.type, tensor_type(variable), *window, (x.int8.scalar(), out.quantization.scalar()), *out.integer_bounds())
    if operator.epilogue is None and unsigned_activations(graph):
        operator = replace(operator, input_zero_point=-128)  # the division rounds the uint8 values
    return Match(operator, (x.expr,), (out.real, *out.covered))


def _axes(call: Expr) -> tuple[int, ...]:
    """The axes that a reduction is over, from 0."""
    rank = len(tensor_type(call.args[0]).shape)
    return tuple(sorted(int(i) % rank for i in call.attrs.axis)) if call.attrs.axis is not None else tuple(range(rank))


def match_sum(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """quantize(clamp(sum(dequantize(x), axes)))"""
    out = _output_of(graph, variable, "relax.sum")
    if out is None or out.quantization is None:
        return None
    call = graph.definition(out.real)
    x = parse_operand(graph, call.args[0])
    if x.int8 is None or x.array is not None:
        return None
    operator = Sum.build(mode, x.type, tensor_type(variable), _axes(call), (x.int8.scalar(), out.quantization.scalar()), *out.integer_bounds())
    return Match(operator, (x.expr,), (out.real, *out.covered))


def match_mean(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """[quantize](clamp(mean([dequantize](x), axes))); integers where both ends are, or all float."""
    out = _output_of(graph, variable, "relax.mean")
    if out is None:
        return None
    call = graph.definition(out.real)
    x, axes = parse_operand(graph, call.args[0]), _axes(call)
    if out.quantization is None and x.array is None and tensor_type(call.args[0]).dtype == "float32":
        real = Mean((tensor_type(call.args[0]),), tensor_type(variable), axes, 0, FloatClamp(out.low, out.high))
        return Match(real, (call.args[0],), (out.real, *out.covered))
    if out.quantization is None or x.int8 is None or x.array is not None:
        return None
    operator = Mean.build(mode, x.type, tensor_type(variable), axes, (x.int8.scalar(), out.quantization.scalar()), *out.integer_bounds())
    return Match(operator, (x.expr,), (out.real, *out.covered))
