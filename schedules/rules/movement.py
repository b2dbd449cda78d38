"""Operators that move elements. Axes that are walked evenly are merged, then whole rows are copied by vectors."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import singledispatch
from typing import Any

from tvm import s_tir, te, tirx

from nnc_tvm.schedules.arithmetic import const
from nnc_tvm.schedules.axes import Walk, broadcast_strides, merge, row_major
from nnc_tvm.schedules.intrin.transpose import tiled_transpose
from nnc_tvm.schedules.loops import fuse_outer, vectorize, vectorize_parts
from nnc_tvm.schedules.operators import Broadcast, Concat, Operator, Pad, StridedSlice, Transpose
from nnc_tvm.schedules.operators.operator import ITEM_BYTES
from nnc_tvm.schedules.rule import Choose, Stage

Expr = Any


@singledispatch
def kernel(operator: Operator, target: Any) -> tuple[Any, str] | None:
    """(PrimFunc inputs..., output; its name for people), or None for operators that are no movement."""
    return None


def stages(operator: Operator, target: Any, choose: Choose) -> tuple[Stage, ...] | None:
    """The rule for operators that move elements."""
    found = kernel(operator, target)
    if found is None:
        return None
    return (Stage(found[0], tuple(range(len(operator.inputs))), (), operator.output, found[1]),)


def lanes_of(operator: Operator, target: Any) -> int:
    """Elements in a vector register."""
    return int(target.vector_bytes // ITEM_BYTES[operator.output.dtype])


def strided_copy(operator: Operator, walk: Walk, start: int, target: Any) -> Any:
    """y[i...] = x[start + sum of i * strides[0]], the output in the walk's own order."""
    x = te.placeholder((operator.inputs[0].elements,), operator.output.dtype, name="x")

    def element(*index: Expr) -> Expr:
        return x[sum((i * s for i, s in zip(index, walk.strides[0], strict=True)), const(start, "int32"))]

    sch = s_tir.Schedule(te.create_prim_func([x, te.compute(walk.extents, element, name="y")]))
    *outer, inner = sch.get_loops(sch.get_sblock("y"))
    fuse_outer(sch, outer)
    if walk.strides[0][-1] in (0, 1):
        vectorize(sch, inner, lanes_of(operator, target))
    return sch.mod["main"]


@kernel.register
def _(operator: Broadcast, target: Any) -> tuple[Any, str]:
    shape = operator.output.shape
    walk = merge(shape, (broadcast_strides(operator.inputs[0].shape, shape), row_major(shape)))
    return strided_copy(operator, walk, 0, target), "broadcast"


@kernel.register
def _(operator: StridedSlice, target: Any) -> tuple[Any, str]:
    strides = row_major(operator.inputs[0].shape)
    moves = tuple(stride * step for stride, step in zip(strides, operator.strides, strict=True))
    start = sum(stride * begin for stride, begin in zip(strides, operator.begin, strict=True))
    return strided_copy(operator, merge(operator.output.shape, (moves, row_major(operator.output.shape))), start, target), "slice"


@kernel.register
def _(operator: Transpose, target: Any) -> tuple[Any, str]:
    strides = row_major(operator.inputs[0].shape)
    walk = merge(operator.output.shape, (tuple(strides[a] for a in operator.axes), row_major(operator.output.shape)))
    if walk.strides[0][-1] == 1:
        return strided_copy(operator, walk, 0, target), "copy rows"
    if "portable" in target.features:  # has no vectors to interleave
        return strided_copy(operator, walk, 0, target), "transpose"
    # the axis along which the input is contiguous becomes one along which the output moves by column_stride
    columns = walk.strides[0].index(1)
    batch = [axis for axis in range(len(walk.extents) - 1) if axis != columns]
    # 128-bit vectors on every CPU: AVX2 interleaves within halves of its registers only
    tile = 16 // ITEM_BYTES[operator.output.dtype]
    function = tiled_transpose(
        tuple(walk.extents[a] for a in batch), tuple(walk.strides[0][a] for a in batch), tuple(walk.strides[1][a] for a in batch), walk.extents[-1],
        walk.extents[columns], walk.strides[0][-1], walk.strides[1][columns], operator.output.elements, operator.output.dtype, tile)
    return function, f"transpose {tile}x{tile}"


@kernel.register
def _(operator: Concat, target: Any) -> tuple[Any, str]:
    rows = math.prod(operator.output.shape[:operator.axis])
    sizes = [t.elements // rows for t in operator.inputs]
    inputs = [te.placeholder((rows, size), t.dtype, name=f"x{k}") for k, (t, size) in enumerate(zip(operator.inputs, sizes, strict=True))]

    def element(r: Expr, i: Expr) -> Expr:
        start, value = sum(sizes) - sizes[-1], inputs[-1][r, i - (sum(sizes) - sizes[-1])]
        for x, size in zip(reversed(inputs[:-1]), reversed(sizes[:-1]), strict=True):
            value = tirx.if_then_else(i < start, x[r, i - (start - size)], value)
            start -= size
        return value

    sch = s_tir.Schedule(te.create_prim_func([*inputs, te.compute((rows, sum(sizes)), element, name="y")]))
    return vectorize_parts(sch, "y", sizes, lanes_of(operator, target)), "concat"


@kernel.register
def _(operator: Pad, target: Any) -> tuple[Any, str]:
    dtype = operator.output.dtype
    return bordered(operator.inputs[0].shape, operator.before, operator.after, dtype, lambda index: const(operator.value, dtype), [],
                    lanes_of(operator, target)), "pad"


def bordered(shape: tuple[int, ...], before: tuple[int, ...], after: tuple[int, ...], dtype: str, border: Callable[[tuple[Expr, ...]], Expr],
             extra: list[Any], lanes: int) -> Any:
    """PrimFunc (x of `shape`, extra..., y): x with so many elements before and after on each axis, whose value is border(index).

    extra: tensors that `border` reads. The index's last axes may be merged; those before the last padded one are the output's.
    """
    padded = [axis for axis in range(len(shape)) if before[axis] or after[axis]] or [0]
    last = padded[-1]
    run = math.prod(shape[last + 1:])  # behind the last padded axis elements stay neighbours: they are merged into it
    first, middle, rest = before[last] * run, shape[last] * run, after[last] * run
    x = te.placeholder((*shape[:last], middle), dtype, name="x")

    def element(*index: Expr) -> Expr:
        *outer, i = index
        inside = [c for axis, v in enumerate(outer) if axis in padded for c in (v >= before[axis], v < before[axis] + shape[axis])]
        inside += [i >= first, i < first + middle]
        at = [v - before[axis] for axis, v in enumerate(outer)]
        return tirx.if_then_else(tirx.all(*inside), x[(*at, i - first)], border(index))

    y = te.compute((*(shape[axis] + before[axis] + after[axis] for axis in range(last)), first + middle + rest), element, name="y")
    return vectorize_parts(s_tir.Schedule(te.create_prim_func([x, *extra, y])), "y", [first, middle, rest], lanes)
