"""A factor and a summand for every channel between two quantized tensors, as batch normalizations leave them: depthwise convolutions of one pixel."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnc_tvm.relay_passes.composites.match import Match, parse_operand, parse_output, real_values, single_use, with_bias
from nnc_tvm.relay_passes.graph import Graph, tensor_type
from nnc_tvm.schedules.operators import DepthwiseConv2d
from nnc_tvm.schedules.quantization import Mode

Expr = Any
LARGEST = 127  # every factor is so many units of its channel: summands are rounded to that part of an input's step
MOST = 1 << 30  # units of a summand


def match_scale_shift(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """quantize(clamp(dequantize(x) * factor [+ summand])) of images in NHWC, with constants along the channels."""
    out = parse_output(graph, variable)
    found = with_bias(graph, out, "relax.multiply") if out.quantization is not None else None
    if found is None or any(v is not variable and not single_use(graph, v) for v in found[2]):
        return None
    core, summand, covered = found
    shape = tensor_type(core).shape
    for x, factor in (sides := [parse_operand(graph, a) for a in graph.definition(core).args], sides[::-1]):
        if x.int8 is None or x.array is not None or len(shape) != 4 or x.type.shape != shape:
            continue
        factors = real_values(factor)
        if factors is None or factors.size != shape[3] or factors.shape[-1:] != shape[3:]:
            continue
        scale, zero = x.int8.scalar()
        factors = factors.reshape(-1)
        unit = np.where(factors == 0, np.abs(factors).max() or 1, np.abs(factors)) * scale / LARGEST
        bias = np.zeros(shape[3]) if summand is None else np.rint(np.asarray(real_values(summand)).reshape(-1) / unit)
        if not np.all(np.isfinite(factors)) or not np.all(np.abs(bias) < MOST):
            return None
        weight = (LARGEST * np.sign(factors)).astype(np.int16).reshape(1, 1, -1)
        operator = DepthwiseConv2d((x.type,), tensor_type(variable), weight, bias.astype(np.int32), out.epilogue(mode, unit, False), zero, (1, 1), (0,) * 4)
        return Match(operator, (x.expr,), (*covered, *out.covered))
    return None
