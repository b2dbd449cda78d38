"""Softmax between two quantized tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nnc_tvm.relay_passes.composites.match import Match, parse_operand, parse_output, single_use
from nnc_tvm.relay_passes.graph import Graph, operator_name, tensor_type
from nnc_tvm.schedules.operators import FixedSoftmax, TableSoftmax
from nnc_tvm.schedules.quantization import Mode, quantize_multiplier

Expr = Any
INTEGER_BITS = 5  # of LiteRT's scaled differences


def match_softmax(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """quantize(softmax(dequantize(x))) over the last axis."""
    out = parse_output(graph, variable)
    call = graph.definition(out.real)
    if out.quantization is None or operator_name(call) != "relax.nn.softmax" or not single_use(graph, out.real):
        return None
    x = parse_operand(graph, call.args[0])
    if x.quantization is None or not x.quantization.per_tensor or x.quantization.dtype != "int8" or int(call.attrs.axis) % len(x.type.shape) != len(x.type.shape) - 1:
        return None
    (si, _), (so, zo) = x.quantization.scalar(), out.quantization.scalar()
    if mode == "fixed" and (so, zo) == (1 / 256, -128):
        multiplier, shift = quantize_multiplier(min(float(np.float32(si)) * (1 << (31 - INTEGER_BITS)), 2.0**31 - 1))
        radius = math.floor(((1 << INTEGER_BITS) - 1) * (1 << (31 - INTEGER_BITS)) / (1 << shift))
        operator: Any = FixedSoftmax((x.type,), tensor_type(variable), multiplier, shift, -radius)
    else:
        bits = min(23, 30 - math.ceil(math.log2(max(x.type.shape[-1], 2))))
        table = np.rint(2.0**bits * np.exp(-np.arange(256) * float(np.float32(si)))).astype(np.int32)
        operator = TableSoftmax((x.type,), tensor_type(variable), table, float(np.float32(1 / so)), zo)
    return Match(operator, (x.expr,), (out.real, *out.covered))
