"""Kernels in parts, lowered: a parameter more, the number of the part, chooses each part's turns of the parallel loops."""

from __future__ import annotations

from typing import Any

import tvm
import tvm_ffi
from tvm import tirx
from tvm.tirx.buffer import buffer_data

from nnc_tvm.schedules.parallel import PARTS, contains, outermost, serial

ONE_TURN_LOOPS = {"s_tir.LoopPartition": {"no_unroll_loop_with_extent_one": True}}
"""A loop of one turn stays a loop, which one part runs."""


def parts_of(function: tirx.PrimFunc) -> int:
    """How many parts a function has."""
    return int(function.attrs[PARTS]) if function.attrs is not None and PARTS in dict(function.attrs) else 1


def keep_parts(module: tvm.IRModule) -> tvm.IRModule:
    """Functions of one part have no parallel loops."""
    return tvm.IRModule({name: f if parts_of(f) > 1 else serial(f) for name, f in module.functions.items()})


def choose_turns(module: tvm.IRModule) -> tvm.IRModule:
    """Functions of several parts take an int32 more, the part, and run its share of their parallel loops."""
    return tvm.IRModule({name: with_part(name.name_hint, f) if parts_of(f) > 1 else f for name, f in module.functions.items()})


def with_part(name: str, function: tirx.PrimFunc) -> tirx.PrimFunc:
    """The first of E % parts parts take one turn more than the others. Raises ValueError where something is written outside of parallel loops."""
    part, parts = tirx.Var("part", "int32"), parts_of(function)
    output = function.params[-1]

    def share(loop: tirx.For) -> tirx.For:
        if loop.kind != tirx.ForKind.PARALLEL:
            return loop
        whole, more = divmod(int(loop.extent), parts)
        first = part * whole + tirx.Min(part, tirx.const(more, "int32"))
        turns = whole + tirx.Cast("int32", part < more) if more else tirx.const(whole, "int32")
        return tirx.For(loop.loop_var, loop.min + first, turns, tirx.ForKind.SERIAL, loop.body)

    views = views_of(function.body, output)
    shared = [loop.body for loop in outermost(function.body)]
    if stores(function.body, views) != sum(stores(body, views) for body in shared):
        raise ValueError(f"kernel '{name}' writes its output outside of the loops that its parts share")
    body = tvm_ffi.structural_map(function.body, (tirx.For, share))
    return tirx.PrimFunc([*function.params, part], body, function.ret_type, attrs=function.attrs)


def views_of(body: Any, parameter: Any) -> list[Any]:
    """The buffers that are a parameter's memory."""
    found = [parameter]

    def visit(declared: tirx.DeclBuffer) -> None:
        data = declared.data
        if isinstance(data, tvm.ir.Call) and data.op.same_as(buffer_data(parameter).op) and data.args[0].same_as(parameter):
            found.append(declared.buffer)

    tvm_ffi.structural_walk(body, (tirx.DeclBuffer, visit))
    return found


def stores(body: Any, buffers: list[Any]) -> int:
    """How many statements write to one of the buffers."""
    found: list[Any] = []
    tvm_ffi.structural_walk(body, (tirx.BufferStore, lambda store: found.append(store) if contains(buffers, store.buffer) else None))
    return len(found)
