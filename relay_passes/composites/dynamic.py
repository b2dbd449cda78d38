"""Quantization by a scale that is computed at run time.

A front end writes the parameters as the packed call "nnc.dynamic_parameters"(x) -> float32 (zero point, scale): a contract between the
passes, no function exists under that name.
"""

from __future__ import annotations

from typing import Any

from tvm import relax

from nnc_tvm.relay_passes.composites.match import Match
from nnc_tvm.relay_passes.graph import Graph, constant, operator_name, tensor_type
from nnc_tvm.schedules.operators import DynamicParameters, DynamicQuantize
from nnc_tvm.schedules.quantization import Mode

Expr = Any
PARAMETERS = "nnc.dynamic_parameters"


def match_dynamic_parameters(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """The call itself."""
    del mode
    call = graph.definition(variable)
    if operator_name(call) != "relax.call_pure_packed" or not isinstance(call.args[0], relax.ExternFunc) or call.args[0].global_symbol != PARAMETERS:
        return None
    x = call.args[1]
    return Match(DynamicParameters((tensor_type(x),), tensor_type(variable)), (x,), (variable,))


def match_dynamic_quantize(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """quantize to int8 by a scale and a zero point that are not constant."""
    del mode
    call = graph.definition(variable)
    if operator_name(call) != "relax.quantize" or tensor_type(variable).dtype != "int8" or any(constant(p) is not None for p in call.args[1:]):
        return None
    types = tuple(tensor_type(a) for a in call.args)
    if types[1].elements != 1 or types[2].elements != 1 or types[2].dtype != "int8":
        return None
    return Match(DynamicQuantize(types, tensor_type(variable)), tuple(call.args), (variable,))
