"""One step of a contraction on a register tile: the description that the instructions of every CPU implement.

acc[p / R, o / L, p % R * L + o % L] += sum over u < steps, d < depth of x[p * stride + u * depth + d] * w[u, o / L, d / g, o % L, d % g]

for `pixels` p and `vectors` * L channels o; R, L, depth and g are the instruction's rows, lanes, depth and group.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import tirx
from tvm.s_tir import TensorIntrin
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.isa import DotProduct, Tile


def tile_function(isa: DotProduct, tile: Tile, body: Callable[[Any, Any, Any], None]) -> Any:
    """PrimFunc whose one block reads x, w and acc, writes acc, and contains what `body` emits."""
    span = (tile.pixels - 1) * tile.stride + tile.steps * isa.depth
    w_shape = (tile.steps, tile.vectors, *isa.weight_shape)
    acc_shape = (tile.pixels // isa.rows, tile.vectors, isa.rows * isa.lanes)
    with IRBuilder() as builder:
        with T.prim_func(is_private=True):
            handles = [T.arg(name, T.handle()) for name in ("x", "w", "acc")]
            x = T.match_buffer(handles[0], (span,), isa.x_dtype, offset_factor=1)
            w = T.match_buffer(handles[1], w_shape, isa.w_dtype, offset_factor=1)
            strides = [T.int32(), isa.rows * isa.lanes, 1]
            acc = T.match_buffer(handles[2], acc_shape, isa.acc_dtype, offset_factor=1, strides=strides, scope="local")
            with T.sblock("root"):
                everything = [buffer[tuple(slice(0, n) for n in shape)] for buffer, shape in ((acc, acc_shape), (x, (span,)), (w, w_shape))]
                T.reads(*everything)
                T.writes(everything[0])
                body(x, w, acc)
        return builder.get()


def describe(isa: DotProduct, tile: Tile) -> Any:
    """The equation above as loops. Loops of one step are left out, as the scheduler leaves them out of what it matches."""
    _, lanes, group = isa.weight_shape
    extents = (("S", tile.pixels), ("S", tile.vectors * lanes), ("R", tile.steps * isa.depth))

    def body(x: Any, w: Any, acc: Any) -> None:
        with T.grid(*[n for _, n in extents if n > 1]) as loops, T.sblock("update"):
            running = iter([loops] if isinstance(loops, tirx.Var) else list(loops))
            axes = {"S": T.axis.spatial, "R": T.axis.reduce}
            p, o, k = [axes[kind](n, next(running)) if n > 1 else 0 for kind, n in extents]
            index = (p // isa.rows, o // lanes, p % isa.rows * lanes + o % lanes)
            d = k % isa.depth
            weight = w[k // isa.depth, o // lanes, d // group, o % lanes, d % group]
            T.reads(acc[index], x[p * tile.stride + k], weight)
            T.writes(acc[index])
            product = T.Cast(isa.acc_dtype, x[p * tile.stride + k]) * T.Cast(isa.acc_dtype, weight)
            T.buffer_store(acc, acc[index] + product, index)

    return tile_function(isa, tile, body)


def tile_step(isa: DotProduct, tile: Tile) -> str:
    """The name of the TensorIntrin of this step; registered on first use. Instructions of several types may have one name."""
    name = f"{isa.name}_{isa.x_dtype}_{isa.w_dtype}_{tile.pixels}x{tile.vectors}x{tile.steps}_{tile.stride}"
    if TensorIntrin.get(name, allow_missing=True) is None:
        TensorIntrin.register(name, describe(isa, tile), tile_function(isa, tile, lambda x, w, acc: isa.emit(tile, x, w, acc)))
    return name
