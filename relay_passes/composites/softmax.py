"""Softmax between two quantized tensors."""

from __future__ import annotations

from typing import Any

from nnc_tvm.errors import Unsupported
from nnc_tvm.relay_passes.composites.match import Match, parse_operand, parse_output, single_use
from nnc_tvm.relay_passes.graph import Graph, operator_name, tensor_type
from nnc_tvm.schedules.operators import FixedSoftmax, TableSoftmax
from nnc_tvm.schedules.quantization import Mode

Expr = Any


def match_softmax(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """quantize(softmax(dequantize(x))) over the last axis."""
    out = parse_output(graph, variable)
    call = graph.definition(out.real)
    if out.quantization is None or operator_name(call) != "relax.nn.softmax" or not single_use(graph, out.real):
        return None
    x = parse_operand(graph, call.args[0])
    rank = len(x.type.shape)
    if x.int8 is None or int(call.attrs.axis) % rank != rank - 1:
        return None
    (si, _), (so, zo) = x.int8.scalar(), out.quantization.scalar()
    operator: Any
    if mode == "fixed" and (so, zo) == (1 / 256, -128):
        try:
            operator = FixedSoftmax.build(x.type, tensor_type(variable), si)
        except ValueError as error:
            raise Unsupported(f"'{variable.name}': {error}; use --requantize float") from error
    else:
        operator = TableSoftmax.build(x.type, tensor_type(variable), si, (so, zo))
    return Match(operator, (x.expr,), (out.real, *out.covered))
