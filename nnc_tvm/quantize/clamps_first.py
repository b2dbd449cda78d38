"""Clamps move before reshapes and transposes, to the operator whose rounding they belong to."""

from __future__ import annotations

from typing import Any

import tvm

from nnc_tvm.relay_passes.composites.match import clamp_bounds, clamp_operand
from nnc_tvm.relay_passes.graph import Rebuilder, call_with, operator_name, rebuild
from nnc_tvm.relay_passes.moves import RESHAPES

Expr = Any


def _visit(r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
    if clamp_bounds(expr) is None:
        return expr
    moved = clamp_operand(expr)
    movement = r.definition(moved)
    if operator_name(movement) not in RESHAPES or r.graph.uses[clamp_operand(r.graph.definitions[variable])] != 1:
        return expr
    clamped = r.emit(call_with(expr, [movement.args[0] if a.same_as(moved) else a for a in expr.args]))
    return call_with(movement, [clamped, *movement.args[1:]])


def clamps_first(module: tvm.IRModule) -> tvm.IRModule:
    """The pass: IRModule -> IRModule, the same meaning."""
    return rebuild(module, _visit)
