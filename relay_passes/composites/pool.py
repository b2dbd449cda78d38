"""Average pooling and means (max pooling moves integers and needs no pattern)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nnc_tvm.relay_passes.composites.match import Match, parse_operand, parse_output, single_use, unsigned_activations
from nnc_tvm.relay_passes.graph import Graph, operator_name, tensor_type
from nnc_tvm.schedules.operators import AveragePool2d, Mean
from nnc_tvm.schedules.quantization import Mode

Expr = Any


def match_average_pool(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """quantize(clamp(avg_pool2d(dequantize(x)))), NHWC."""
    out = parse_output(graph, variable)
    call = graph.definition(out.real)
    if out.quantization is None or operator_name(call) != "relax.nn.avg_pool2d" or str(call.attrs.layout) != "NHWC" or not single_use(graph, out.real):
        return None
    x = parse_operand(graph, call.args[0])
    a = call.attrs
    if x.int8 is None or x.array is not None or any(int(d) != 1 for d in a.dilation):
        return None
    (kh, kw), (sh, sw), (top, left, bottom, right) = ([int(v) for v in values] for values in (a.pool_size, a.strides, a.padding))
    operator = AveragePool2d.build(mode, x.type, tensor_type(variable), (kh, kw), (sh, sw), (top, left, bottom, right), bool(a.count_include_pad),
                                   (x.int8.scalar(), out.quantization.scalar()), *out.integer_bounds())
    if operator.epilogue is None and unsigned_activations(graph):
        operator = replace(operator, input_zero_point=-128)  # the division rounds the uint8 values
    return Match(operator, (x.expr,), (out.real, *out.covered))


def match_mean(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """quantize(clamp(mean(dequantize(x), axes)))"""
    out = parse_output(graph, variable)
    call = graph.definition(out.real)
    if out.quantization is None or operator_name(call) != "relax.mean" or not single_use(graph, out.real):
        return None
    x = parse_operand(graph, call.args[0])
    if x.int8 is None or x.array is not None:
        return None
    rank = len(x.type.shape)
    axes = tuple(sorted(int(i) % rank for i in call.attrs.axis)) if call.attrs.axis is not None else tuple(range(rank))
    operator = Mean.build(mode, x.type, tensor_type(variable), axes, (x.int8.scalar(), out.quantization.scalar()), *out.integer_bounds())
    return Match(operator, (x.expr,), (out.real, *out.covered))
