"""Element-wise functions of moved tensors, computed before the moves: next to the operator that they belong to."""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax

from nnc_tvm.relay_passes.graph import Rebuilder, call_with, constant, operator_name, rebuild, tensor_type
from nnc_tvm.relay_passes.moves import RESHAPES, SHAPE_ONLY
from nnc_tvm.relay_passes.qdq import dequantize, quantization_of
from nnc_tvm.schedules.quantization import QuantParams

Expr = Any


def moves_of(r: Rebuilder, variable: Expr, operand: Expr, side: int = 0) -> tuple[Expr, list[Expr]]:
    """(what was moved, the moves from first to last) that lead to `operand`, the new operand `side` of `variable`, which nothing else reads."""
    moves: list[Expr] = []
    if r.graph.uses[r.graph.definitions[variable].args[side]] == 1:
        while operator_name(r.definition(operand)) in RESHAPES:
            moves.insert(0, r.definition(operand))
            operand = moves[0].args[0]
    return operand, moves


def moved_again(r: Rebuilder, source: Expr, moves: list[Expr], name: str) -> Expr:
    """The moves of another tensor; `name` is the result's."""
    for k, move in enumerate(moves, 1):
        source = r.emit(call_with(move, [source, *move.args[1:]]), name if k == len(moves) else "")
    return source


def places_before(move: Expr, places: np.ndarray) -> np.ndarray:
    """An array in the form of a move's result in the form of its operand; -1 where the move drops the element."""
    shape = tuple(int(d) for d in move.args[0].ty.shape)
    name = operator_name(move)
    if name in SHAPE_ONLY:
        return places.reshape(shape)
    if name == "relax.permute_dims":
        axes = [int(a) for a in move.attrs.axes] if move.attrs.axes is not None else list(range(len(shape)))[::-1]
        return places.transpose(np.argsort(axes))
    axes, begin, end = ([int(v.value) for v in t.fields] for t in move.args[1:4])
    steps = [int(v.value) for v in move.args[4].fields] if len(move.args) > 4 else [1] * len(axes)
    whole: np.ndarray = np.full(shape, -1, places.dtype)
    taken = [slice(None)] * len(shape)
    for axis, b, e, s in zip(axes, begin, end, steps, strict=True):
        taken[axis] = slice(b, e if s > 0 or e >= 0 else None, s)
    whole[tuple(taken)] = places
    return whole


def bias_before(moves: list[Expr], axis: int) -> tuple[int, np.ndarray] | None:
    """A vector along `axis` of the moves' result is one along which axis of their operand, and which of its elements; None where it is several."""
    shape = tuple(int(d) for d in moves[-1].ty.shape)
    places = np.broadcast_to(np.arange(shape[axis], dtype=np.int32).reshape([-1 if k == axis else 1 for k in range(len(shape))]), shape)
    for move in reversed(moves):
        places = places_before(move, places)
    for before in range(places.ndim):
        rows = np.moveaxis(places, before, -1).reshape(-1, places.shape[before])
        elements = rows.max(axis=0)
        if np.all((rows == elements) | (rows < 0)):
            return before, np.maximum(elements, 0)
    return None


def bias_inside(r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
    """move(x) + bias as move(x + bias), next to the product that x is, where the bias lies along one axis."""
    shape = tensor_type(variable).shape
    for side in (0, 1):
        bias = expr.args[1 - side]
        q = quantization_of(r.definition(bias))
        integers = constant(r.definition(bias)) if q is None else constant(r.definition(bias).args[0])
        if integers is None or tensor_type(expr.args[side]).shape != shape or integers.size not in integers.shape:
            continue
        source, moves = moves_of(r, variable, expr.args[side], side)
        found = bias_before(moves, len(shape) - integers.ndim + integers.shape.index(integers.size)) if moves else None
        if found is None:
            continue
        axis, elements = found
        inner: Expr = relax.const(integers.reshape(-1)[elements].reshape(-1, *(1,) * (len(source.ty.shape) - axis - 1)))
        if q is not None:
            scale, zero_point = (v if q.per_tensor else v[elements] for v in (q.scale, q.zero_point))
            inner = r.emit(dequantize(inner, QuantParams(scale, zero_point, q.dtype, 0)))
        return moved_again(r, r.emit(relax.op.add(source, inner)), moves, variable.name)
    return expr


def biases_inside(module: tvm.IRModule) -> tvm.IRModule:
    """The pass: IRModule -> IRModule, the same meaning, each bias next to its product."""
    return rebuild(module, lambda r, variable, expr: bias_inside(r, variable, expr) if operator_name(expr) == "relax.add" else expr)
