"""Calls that move elements, as canonicalize_qdq rewrites them: on constants, on other tensors, two as one."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax

from nnc_tvm.relay_passes.graph import Graph, Rebuilder, operator_name, variables
from nnc_tvm.relay_passes.qdq import quantization_of
from nnc_tvm.schedules.quantization import RANGES, QuantParams

Expr = Any

MOVEMENT = frozenset({
    "relax.reshape", "relax.permute_dims", "relax.expand_dims", "relax.squeeze", "relax.flatten", "relax.nn.max_pool2d", "relax.strided_slice",
    "relax.broadcast_to", "relax.flip", "relax.repeat", "relax.tile",
})
# what else canonicalize_qdq brings to int8; any other operator reads uint8 tensors as they were
HANDLED = frozenset({"relax.quantize", "relax.dequantize", "relax.clip", "relax.concat", "relax.nn.pad"})
# movement that leaves the order of the elements
SHAPE_ONLY = frozenset({"relax.reshape", "relax.expand_dims", "relax.squeeze", "relax.flatten"})
# movement that any element-wise function commutes with: the quantize goes first, next to the operator it belongs to
RESHAPES = SHAPE_ONLY | {"relax.permute_dims", "relax.strided_slice"}


def moved_constant(call: Expr, value: np.ndarray) -> np.ndarray | None:
    """What a movement call makes of a constant; None for movements that are left to run time."""
    name = operator_name(call)
    if name == "relax.permute_dims":
        return value.transpose([int(a) for a in call.attrs.axes]) if call.attrs.axes is not None else value.transpose()
    if name in SHAPE_ONLY:
        return value.reshape([int(d) for d in call.ty.shape])
    return None


def moved_axis(call: Expr, before: tuple[int, ...], after: tuple[int, ...], axis: int) -> int | None:
    """Where axis `axis` of a tensor is after a transpose or reshape; None where a reshape splits or merges it."""
    if operator_name(call) == "relax.permute_dims":
        axes = [int(a) for a in call.attrs.axes] if call.attrs.axes is not None else list(range(len(before)))[::-1]
        return axes.index(axis)
    leading = int(np.prod(before[:axis]))
    for new, extent in enumerate(after):
        if extent == before[axis] and int(np.prod(after[:new])) == leading:
            return new
    return None


def quantization_behind(graph: Graph, source: Expr) -> QuantParams | None:
    """By what the tensor, moved or not, is dequantized first; None where nothing does."""
    moved = {source}
    for variable, value in graph.definitions.items():
        if any(v in moved for v in variables(value)):
            if operator_name(value) == "relax.dequantize":
                return quantization_of(value)
            if operator_name(value) in MOVEMENT or operator_name(value) in HANDLED:
                moved.add(variable)
    return None


def shortened(r: Rebuilder, move: Expr, shape: list[int]) -> Expr:
    """A reshape of a reshape, or a transpose of a transpose, as one; their source where they undo each other. shape: of the result."""
    inner = r.definition(move.args[0])
    names = operator_name(move), operator_name(inner)
    if all(n in SHAPE_ONLY for n in names):
        source = inner.args[0]
        return source if [int(d) for d in source.ty.shape] == shape else relax.op.reshape(source, shape)
    if names == ("relax.permute_dims", "relax.permute_dims") and move.attrs.axes is not None and inner.attrs.axes is not None:
        axes = [int(inner.attrs.axes[int(a)]) for a in move.attrs.axes]
        return inner.args[0] if axes == sorted(axes) else relax.op.permute_dims(inner.args[0], axes)
    return move


def padding_integer(pad: Expr, q: QuantParams) -> int:
    """What the padding value of a real tensor is on the grid of `q`."""
    scale, zero = q.scalar()
    return int(np.clip(np.rint(np.float32(pad.attrs.pad_value) / np.float32(scale)) + zero, *RANGES[q.dtype]))


def padded(pad: Expr, source: Expr, value: float) -> Expr:
    """The same padding of `source` with `value`."""
    return relax.op.nn.pad(source, [int(w) for w in pad.attrs.pad_width], pad_mode=str(pad.attrs.pad_mode), pad_value=value)
