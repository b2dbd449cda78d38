"""The fallback: a Relax operator as the loops that TVM legalizes it to."""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax, s_tir

from nnc_tvm.errors import Unsupported
from nnc_tvm.relay_passes.composites.match import Match
from nnc_tvm.relay_passes.graph import Graph, constant, operator_name, substitute, tensor_type, variables
from nnc_tvm.relay_passes.legalizations import LEGALIZATIONS
from nnc_tvm.schedules.operators.primitive import Primitive

Expr = Any


def lower_primitive(graph: Graph, variable: Expr, functions: tvm.IRModule) -> Match | None:
    """The binding as a Primitive; None where TVM has no loops for it.

    Constants of more than one element are inputs, scalars are literals where TVM's loops take them so, else inputs too.
    functions: where calls of loops that the front end has made already (call_tir) find them.
    """
    if isinstance(variable.ty, relax.TupleType):
        return None
    call = graph.definition(variable)
    if operator_name(call) == "relax.call_tir":
        made, operands = call.args[0], tuple(call.args[1].fields)
        return Match(Primitive(tuple(tensor_type(a) for a in operands), tensor_type(variable), functions[made], str(made.name_hint)), operands, (variable,))
    return _lowered(graph, variable, 2) or _lowered(graph, variable, 1)


def _lowered(graph: Graph, variable: Expr, smallest: int) -> Match | None:
    """The Primitive whose inputs are the variables and the constants of `smallest` elements and more."""
    call = graph.definition(variable)
    sources: list[Expr] = []
    for source in variables(call):
        if not any(source.same_as(s) for s in sources):
            sources.append(source)
    builder = relax.BlockBuilder()
    parameters = [relax.Var(f"x{k}", s.ty) for k, s in enumerate(sources)]
    replace: dict[Any, Expr] = dict(zip(sources, parameters, strict=True))
    constants = [a for a in getattr(call, "args", ()) if (array := constant(a)) is not None and array.size >= smallest]
    extra = [relax.Var(f"c{k}", c.ty) for k, c in enumerate(constants)]
    body = substitute(call, replace)
    for c, v in zip(constants, extra, strict=True):
        body = tvm.ir.Call(body.op, [v if a.same_as(c) else a for a in body.args], body.attrs, body.ty_args)
    with builder.function("main", [*parameters, *extra]):
        builder.emit_func_output(builder.emit(body))
    try:
        module = relax.transform.LegalizeOps(LEGALIZATIONS)(builder.finalize())
    except Exception as error:  # TVM raises whatever its checks are written with
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise Unsupported(f"'{variable.name}': {operator_name(call).removeprefix('relax.')} cannot be compiled: {reason[:200]}") from error
    loops = [f for f in module.functions.values() if isinstance(f, tvm.tirx.PrimFunc)]
    if len(loops) != 1 or not has_blocks(loops[0]):
        return None
    read = [*sources, *constants]
    ordered = _argument_order(module, [*parameters, *extra])
    if ordered is None:
        return None
    read = [read[k] for k in ordered]
    name = operator_name(call).rsplit(".", 1)[-1]
    return Match(Primitive(tuple(tensor_type(s) for s in read), tensor_type(variable), loops[0], name), tuple(read), (variable,))


def has_blocks(function: tvm.tirx.PrimFunc) -> bool:
    """Whether schedules can see what the loops compute; some operators' loops are opaque."""
    try:
        schedule = s_tir.Schedule(tvm.IRModule({"main": function}))
        return bool(schedule.get_child_blocks(schedule.get_sblock("root")))
    except Exception:  # TVM raises whatever its checks are written with
        return False


def _argument_order(module: tvm.IRModule, parameters: list[Expr]) -> list[int] | None:
    """Which parameter each argument of the one call_tir is; None for other module shapes."""
    calls = [v for v in Graph(module["main"]).definitions.values() if operator_name(v) == "relax.call_tir"]
    if len(calls) != 1 or not isinstance(calls[0].args[1], relax.Tuple):
        return None
    names = [p.name for p in parameters]
    arguments = [getattr(a, "name", "") for a in calls[0].args[1].fields]
    return [names.index(a) for a in arguments] if all(a in names for a in arguments) else None
