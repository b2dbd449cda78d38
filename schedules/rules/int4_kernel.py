"""The kernel of a convolution or dense layer whose weights are stored as two in a byte.

A panel, the weights of one tile of output channels, is unpacked into scratch memory, and all pixels pass it before the next one comes; where
they are few, weights are unpacked in registers. The equation and the tiles are those of `contraction_kernel`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any

import numpy as np
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.intrin.short_sums import ShortDotProduct
from nnc_tvm.schedules.rules.block_sparse_kernel import start_at_bias, store
from nnc_tvm.schedules.rules.contraction_plan import Contraction, x_layout
from nnc_tvm.schedules.rules.int4_plan import Int4Plan, Operand


def int4_kernel(c: Contraction, plan: Int4Plan, epilogue_values: Sequence[np.ndarray], out_dtype: str) -> Any:
    """PrimFunc (x, [residual,] packed uint8 (tiles of channels, plan.packed), bias (O,), *epilogue_values (O,)[, panel], y), O rounded up to whole tiles.

    x: as `x_layout` says. packed: as the plan unpacks it.
    """
    isa, tile = plan.isa, plan.tile
    n, oh, ow, _ = c.out
    rows, row, elements, _ = x_layout(c, isa, tile.pixels)
    blocks = plan.blocks
    with IRBuilder() as builder:
        with T.prim_func(s_tir=True):
            T.func_attr({"tirx.noalias": True})
            x = T.arg("x", T.buffer((elements,), isa.x_dtype))
            residual = T.arg("residual", T.buffer(c.out, "int8")) if c.residual else None
            packed = T.arg("packed", T.buffer((blocks, plan.packed), "uint8"))
            bias = T.arg("bias", T.buffer((blocks * plan.block,), isa.acc_dtype))
            values = [T.arg(f"epilogue_{i}", T.buffer((blocks * plan.block,), str(v.dtype))) for i, v in enumerate(epilogue_values)]
            weights = T.arg("panel", T.buffer((plan.held * plan.panel,), isa.w_dtype)) if plan.scratch else packed
            y = T.arg("y", T.buffer(c.out, out_dtype))
            with T.sblock("int4"):
                T.reads()
                T.writes()
                if plan.scratch and plan.held > 1:
                    unpack_all(plan, packed, weights)
                with T.parallel(blocks) as o:
                    if plan.scratch and plan.held == 1:
                        plan.emit_unpack(packed, o, weights)
                    with T.serial(n) as b, T.parallel(oh) as i, T.parallel(-(-ow // tile.pixels)) as j:
                        acc = T.sblock_alloc_buffer((tile.pixels // isa.rows, tile.vectors, isa.rows * isa.lanes), isa.acc_dtype, scope="local")
                        start = (b * rows + i * c.strides[0]) * row + j * (tile.pixels * tile.stride)
                        accumulate(c, plan, row, Operand(x, start), weights, bias, acc, o)
                        store(c, plan, acc, values, residual, y, (b, i, j, o))
        return builder.get()


def unpack_all(plan: Int4Plan, packed: Any, weights: Any) -> None:
    """All panels, one after the other."""
    with T.serial(plan.held) as o, T.sblock("unpack"):
        T.reads()
        T.writes()
        panel = T.match_buffer(weights[o * plan.panel : (o + 1) * plan.panel], (plan.panel,), plan.isa.w_dtype, offset_factor=1)
        plan.emit_unpack(packed, o, panel)


def accumulate(c: Contraction, plan: Int4Plan, row: int, x: Operand, weights: Any, bias: Any, acc: Any, o: Any) -> None:
    """acc of block o of the output channels, for the tile of pixels whose first begins where x does."""
    if isinstance(plan.isa, ShortDotProduct):
        sum_in_pieces(c, plan, plan.isa, row, x, weights, bias, acc, o)
        return
    start_at_bias(plan, bias, acc, o)
    rows, runs, depths = plan.turns
    with several(rows) as kh, several(runs) as kw, several(depths) as d:
        step(c, plan, row, x, weights, o, acc, (kh, kw, d))


def sum_in_pieces(c: Contraction, plan: Int4Plan, isa: ShortDotProduct, row: int, x: Operand, weights: Any, bias: Any, acc: Any, o: Any) -> None:
    """Sums in int16 as long as they fit, then widened into acc."""
    tile = plan.tile
    part = T.sblock_alloc_buffer((tile.pixels, tile.vectors, 2 * isa.lanes), "int16", scope="local")
    places = list(product(range(tile.vectors), range(tile.pixels)))

    def piece(kh: Any, rows: int, kw: Any, runs: int, d: Any, depths: int) -> None:
        for v, p in places:
            T.buffer_store(part, T.broadcast(T.int16(0), 2 * isa.lanes), [p, v, T.ramp(0, 1, 2 * isa.lanes)])
        with several(rows) as h, several(runs) as w, several(depths) as e:
            step(c, plan, row, x, weights, o, part, (kh + h, kw + w, d + e))
        if plan.sums == 1:
            start_at_bias(plan, bias, acc, o)  # not before: the registers are needed
        for v, p in places:
            total = isa.widen(part.vload([p, v, 0], f"int16x{2 * isa.lanes}"), acc.vload([p, v, 0], f"int32x{isa.lanes}"))
            T.buffer_store(acc, total, [p, v, T.ramp(0, 1, isa.lanes)])

    if plan.sums > 1:
        start_at_bias(plan, bias, acc, o)
    (rows, runs, depths), (row_piece, depth_piece) = plan.turns, plan.pieces
    if depth_piece == depths and plan.chain >= runs * depths:
        for kh, size in whole_and_rest(rows, row_piece):
            with kh as first:
                piece(first, size, 0, runs, 0, depths)
        return
    with several(rows) as h, several(runs) as w:
        for d, size in whole_and_rest(depths, depth_piece):
            with d as first:
                piece(h, 1, w, 1, first, size)


def whole_and_rest(total: int, size: int) -> Iterator[tuple[Any, int]]:
    """Loops over the starts of `total` in pieces of `size`, and what is left as a piece of its own."""
    yield scaled(total // size, size), size
    if total % size:
        yield constant(total - total % size), total % size


@contextmanager
def several(extent: int) -> Iterator[Any]:
    """A loop, none for a single turn."""
    if extent == 1:
        yield 0
        return
    with T.serial(extent) as variable:
        yield variable


@contextmanager
def scaled(extent: int, size: int) -> Iterator[Any]:
    with several(extent) as variable:
        yield variable * size


@contextmanager
def constant(value: int) -> Iterator[int]:
    yield value


def step(c: Contraction, plan: Int4Plan, row: int, x: Operand, weights: Any, o: Any, acc: Any, turn: tuple[Any, Any, Any]) -> None:
    """One turn of the reduction: kernel row, run, place in the run."""
    (kh, kw, d), (_, runs, depths) = turn, plan.turns
    place = x.start + kh * (c.dilation[0] * row) + kw * (c.dilation[1] * c.image[3]) + d * (plan.tile.steps * plan.isa.depth)
    plan.isa.emit(plan.tile, Operand(x.buffer, place), plan.operand(weights, o, (kh * runs + kw) * depths + d), acc)
