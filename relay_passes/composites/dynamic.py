"""Quantization by scales that are computed at run time, as `relay_passes.dynamic_calls` writes it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nnc_tvm.relay_passes.composites.match import Match, clamp_bounds, parse_output, real_values, single_use, with_bias
from nnc_tvm.relay_passes.dynamic_calls import PAD, PARAMETERS, RESCALE, SYMMETRIC, packed_name, parameters_of
from nnc_tvm.relay_passes.graph import Graph, constant, operator_name, tensor_type
from nnc_tvm.schedules.operators import DynamicPad, DynamicParameters, DynamicQuantize, DynamicRescale
from nnc_tvm.schedules.quantization import Mode, RescaleAtRunTime

Expr = Any
KEEP_SIGN = frozenset({"relax.reshape", "relax.permute_dims", "relax.squeeze", "relax.expand_dims", "relax.nn.max_pool2d", "relax.nn.avg_pool2d", "relax.mean"})


def match_dynamic_parameters(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """The call itself."""
    call = graph.definition(variable)
    name = packed_name(call)
    if name not in (PARAMETERS, SYMMETRIC):
        return None
    x = call.args[1]
    operator = DynamicParameters((tensor_type(x),), tensor_type(variable), name == SYMMETRIC, mode == "fixed", is_nonnegative(graph, x))
    return Match(operator, (x,), (variable,))


def is_nonnegative(graph: Graph, variable: Expr) -> bool:
    """Whether all of a tensor is known to be: a clamp from 0 or above, a sigmoid, and what takes or moves such elements or their means."""
    call = graph.definition(variable)
    while operator_name(call) in KEEP_SIGN:
        call = graph.definition(call.args[0])
    bounds = clamp_bounds(call) if operator_name(call) else None
    return operator_name(call) == "relax.sigmoid" or (bounds is not None and bounds[0] >= 0)


def match_dynamic_quantize(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """quantize to int8 by parameters of the run, or by any scale and zero point that are not constant."""
    call = graph.definition(variable)
    if operator_name(call) != "relax.quantize" or tensor_type(variable).dtype != "int8" or any(constant(p) is not None for p in call.args[1:]):
        return None
    parameters = parameters_of(graph.definition, call)
    read = tuple(call.args) if parameters is None else (call.args[0], parameters)
    types = tuple(tensor_type(a) for a in read)
    if parameters is None and (types[1].elements != 1 or types[2].elements != 1 or types[2].dtype != "int8"):
        return None
    return Match(DynamicQuantize(types, tensor_type(variable), mode == "fixed"), read, (variable,))


def match_dynamic_pad(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """The call, with the quantize by the same parameters whose result nothing else reads."""
    call = graph.definition(variable)
    if packed_name(call) != PAD:
        return None
    read = tuple(call.args[1:3])
    top, left, bottom, right = (int(p.value) for p in call.args[3:7])
    padding = (top, left, bottom, right)
    inner = match_dynamic_quantize(graph, read[0], mode) if single_use(graph, read[0]) else None
    if inner is not None and isinstance(inner.operator, DynamicQuantize) and inner.inputs[1:] == (read[1],):
        return Match(replace(inner.operator, output=tensor_type(variable), padding=padding), inner.inputs, (*inner.covered, variable))
    return Match(DynamicPad(tuple(map(tensor_type, read)), tensor_type(variable), padding), read, (variable,))


def match_dynamic_rescale(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """The call [+ bias] [+ clamp]."""
    del mode
    out = parse_output(graph, variable)
    found = with_bias(graph, out, "relax.call_pure_packed")
    if out.quantization is not None or found is None or packed_name(graph.definition(found[0])) != RESCALE:
        return None
    core, bias, covered = found
    if any(v is not variable and not single_use(graph, v) for v in covered):
        return None
    _, acc, parameters, *rest = graph.definition(core).args
    scale, sums = (constant(c) for c in rest)
    assert scale is not None and sums is not None
    values = np.zeros(scale.shape, np.float32) if bias is None else np.asarray(real_values(bias)).astype(np.float32).reshape(-1)
    epilogue = RescaleAtRunTime(scale, values, sums, out.low, out.high)
    return Match(DynamicRescale((tensor_type(acc), tensor_type(parameters)), tensor_type(variable), epilogue), (acc, parameters), (*covered, *out.covered))
