"""The kernel of a convolution or dense layer whose weights are stored as two in a byte.

A panel, the weights of one tile of output channels, is unpacked into scratch memory, and all pixels pass it before the next one comes:
the equation and the tiles are those of `contraction_kernel`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.intrin.short_sums import ShortDotProduct
from nnc_tvm.schedules.isa import DotProduct, Tile
from nnc_tvm.schedules.loops import round_up
from nnc_tvm.schedules.rules.block_sparse_kernel import store
from nnc_tvm.schedules.rules.contraction_plan import Contraction, x_layout
from nnc_tvm.schedules.rules.nibbles import emit_unpack


@dataclass(frozen=True, eq=False)
class Int4Plan:
    """isa and tile. turns: (kernel rows, runs, turns of a run) of a tile's reduction, each of tile.steps depths. lanes: bytes unpacked at once.

    chain: turns whose sum fits the instruction's accumulators.
    """

    isa: DotProduct
    tile: Tile
    turns: tuple[int, int, int]
    lanes: int
    chain: int

    @property
    def block(self) -> int:
        """Output channels of a tile."""
        return self.tile.vectors * self.isa.lanes

    @property
    def turn(self) -> int:
        """Weights of a turn."""
        return self.tile.steps * self.isa.depth * self.block

    @property
    def panel(self) -> int:
        """Weights of a panel, whole vectors of two in a byte."""
        rows, runs, depths = self.turns
        return round_up(rows * runs * depths * self.turn, 2 * self.lanes)

    @property
    def pieces(self) -> tuple[int, int]:
        """(kernel rows, turns of a run) that are summed before the sum is widened; of several rows all runs."""
        rows, runs, depths = self.turns
        whole = min(rows, self.chain // (runs * depths))
        return (whole, depths) if whole else (1, min(self.chain, depths))

    @property
    def sums(self) -> int:
        """How often a tile's sums are widened."""
        (rows, runs, depths), (row_piece, depth_piece) = self.turns, self.pieces
        whole = self.chain >= runs * depths
        return -(-rows // row_piece) if whole else rows * runs * -(-depths // depth_piece)

    @property
    def packed(self) -> int:
        """Bytes that a panel is stored in."""
        return self.panel // 2

    def emit_unpack(self, packed: Any, o: Any, panel: Any) -> None:
        """Row o of uint8 `packed` (tiles of channels, self.packed) as weights."""
        emit_unpack(packed, o, panel, self.lanes)

    @property
    def name(self) -> str:
        return f"int4 {self.isa.name} {self.tile.pixels}x{self.block}"


@dataclass(frozen=True)
class Operand:
    """What an instruction's `emit` reads of a buffer of one dimension: elements from `start`, laid out in `shape`."""

    buffer: Any
    start: Any
    shape: tuple[int, ...] = ()

    @property
    def dtype(self) -> str:
        return str(self.buffer.dtype)

    def place(self, index: Sequence[Any]) -> Any:
        offset = index[0]
        for extent, i in zip(self.shape, index[1:], strict=True):
            offset = offset * extent + i
        return self.start + offset

    def vload(self, index: Sequence[Any], dtype: str) -> Any:
        return self.buffer.vload([self.place(index)], dtype)

    def __getitem__(self, index: Any) -> Any:
        return self.buffer[self.place([index])]


def int4_kernel(c: Contraction, plan: Int4Plan, epilogue_values: Sequence[np.ndarray], out_dtype: str) -> Any:
    """PrimFunc (x, [residual,] packed uint8 (tiles of channels, plan.packed), bias (O,), *epilogue_values (O,), panel, y), O rounded up to whole tiles.

    x: as `x_layout` says. packed: as the plan unpacks it.
    """
    isa, tile = plan.isa, plan.tile
    n, oh, ow, out = c.out
    rows, row, elements, _ = x_layout(c, isa, tile.pixels)
    blocks = -(-out // plan.block)
    with IRBuilder() as builder:
        with T.prim_func(s_tir=True):
            T.func_attr({"tirx.noalias": True})
            x = T.arg("x", T.buffer((elements,), isa.x_dtype))
            residual = T.arg("residual", T.buffer(c.out, "int8")) if c.residual else None
            packed = T.arg("packed", T.buffer((blocks, plan.packed), "uint8"))
            bias = T.arg("bias", T.buffer((blocks * plan.block,), isa.acc_dtype))
            values = [T.arg(f"epilogue_{i}", T.buffer((blocks * plan.block,), str(v.dtype))) for i, v in enumerate(epilogue_values)]
            panel = T.arg("panel", T.buffer((plan.panel,), isa.w_dtype))
            y = T.arg("y", T.buffer(c.out, out_dtype))
            with T.sblock("int4"):
                T.reads()
                T.writes()
                with T.parallel(blocks) as o:
                    plan.emit_unpack(packed, o, panel)
                    with T.serial(n) as b, T.parallel(oh) as i, T.parallel(-(-ow // tile.pixels)) as j:
                        acc = T.sblock_alloc_buffer((tile.pixels // isa.rows, tile.vectors, isa.rows * isa.lanes), isa.acc_dtype, scope="local")
                        start = (b * rows + i * c.strides[0]) * row + j * (tile.pixels * tile.stride)
                        accumulate(c, plan, row, Operand(x, start), panel, bias, acc, o)
                        store(c, plan, acc, values, residual, y, (b, i, j, o))
        return builder.get()


def accumulate(c: Contraction, plan: Int4Plan, row: int, x: Operand, panel: Any, bias: Any, acc: Any, o: Any) -> None:
    """acc of block o of the output channels, for the tile of pixels whose first begins where x does."""
    if isinstance(plan.isa, ShortDotProduct):
        sum_in_pieces(c, plan, plan.isa, row, x, panel, bias, acc, o)
        return
    start_at_bias(plan, bias, acc, o)
    rows, runs, depths = plan.turns
    with several(rows) as kh, several(runs) as kw, several(depths) as d:
        step(c, plan, row, x, panel, acc, (kh, kw, d))


def sum_in_pieces(c: Contraction, plan: Int4Plan, isa: ShortDotProduct, row: int, x: Operand, panel: Any, bias: Any, acc: Any, o: Any) -> None:
    """Sums in int16 as long as they fit, then widened into acc."""
    tile = plan.tile
    part = T.sblock_alloc_buffer((tile.pixels, tile.vectors, 2 * isa.lanes), "int16", scope="local")
    places = list(product(range(tile.vectors), range(tile.pixels)))

    def piece(kh: Any, rows: int, kw: Any, runs: int, d: Any, depths: int) -> None:
        for v, p in places:
            T.buffer_store(part, T.broadcast(T.int16(0), 2 * isa.lanes), [p, v, T.ramp(0, 1, 2 * isa.lanes)])
        with several(rows) as h, several(runs) as w, several(depths) as e:
            step(c, plan, row, x, panel, part, (kh + h, kw + w, d + e))
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


def start_at_bias(plan: Int4Plan, bias: Any, acc: Any, o: Any) -> None:
    """acc[p, v] is the bias of the v-th vector of channels, once for each of the instruction's rows."""
    isa, tile = plan.isa, plan.tile
    for v, p in product(range(tile.vectors), range(tile.pixels // isa.rows)):
        for r in range(isa.rows):
            T.buffer_store(acc, bias.vload([o * plan.block + v * isa.lanes], f"{isa.acc_dtype}x{isa.lanes}"), [p, v, T.ramp(r * isa.lanes, 1, isa.lanes)])


def step(c: Contraction, plan: Int4Plan, row: int, x: Operand, panel: Any, acc: Any, turn: tuple[Any, Any, Any]) -> None:
    """One turn of the reduction: kernel row, run, place in the run."""
    (kh, kw, d), (_, runs, depths) = turn, plan.turns
    place = x.start + kh * (c.dilation[0] * row) + kw * (c.dilation[1] * c.image[3]) + d * (plan.tile.steps * plan.isa.depth)
    weights = ((kh * runs + kw) * depths + d) * plan.turn
    plan.isa.emit(plan.tile, Operand(x.buffer, place), Operand(panel, weights, (plan.tile.vectors, *plan.isa.weight_shape)), acc)
