"""The kernel of a convolution or dense layer over lists of blocks, read at run time.

acc[p, o] = bias[o] + sum over k in [first[o / B], first[o / B + 1]), d of x[pixel p + places[k] + d] * weights[k, d, o % B]
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

import numpy as np
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.epilogue import requantize
from nnc_tvm.schedules.isa import DotProduct, Tile
from nnc_tvm.schedules.rules.contraction_plan import Contraction, store_width, x_layout
from nnc_tvm.schedules.rules.residual import store_channels
from nnc_tvm.schedules.statements import condition


class TilePlan(Protocol):
    """What `store` knows of a plan: the instruction, the tile and its output channels."""

    @property
    def isa(self) -> DotProduct: ...
    @property
    def tile(self) -> Tile: ...
    @property
    def block(self) -> int: ...


@dataclass(frozen=True, eq=False)
class BlockPlan:
    """isa and tile, whose steps are a block's. blocks: bool (O / block, KH * runs, blocks of a run), whether a block is kept."""

    isa: DotProduct
    tile: Tile
    blocks: np.ndarray

    @property
    def block(self) -> int:
        """Output channels of a block."""
        return self.tile.vectors * self.isa.lanes

    @property
    def count(self) -> int:
        """Blocks that are kept."""
        return int(self.blocks.sum())

    @property
    def name(self) -> str:
        return f"block {self.tile.steps * self.isa.depth}x{self.block} {self.isa.name} {self.tile.pixels}x{self.block}"

    @property
    def packed_shape(self) -> tuple[int, ...]:
        """Of the weights: (blocks kept, steps, vectors, depth / group, lanes, group); at least one block."""
        return max(self.count, 1), self.tile.steps, self.tile.vectors, *self.isa.weight_shape

    def place_dtype(self, c: Contraction) -> str:
        """Of the places, offsets into an image's padded rows."""
        _, row, *_ = x_layout(c, self.isa, self.tile.pixels)
        return "uint16" if row * ((c.weight.shape[1] - 1) * c.dilation[0] + 1) <= 1 << 16 else "int32"


def block_sparse_kernel(c: Contraction, plan: BlockPlan, epilogue_values: Sequence[np.ndarray], out_dtype: str) -> Any:
    """PrimFunc (x, [residual,] weights, places, first, bias (O,), *epilogue_values (O,), y), O rounded up to whole blocks. x: as `x_layout` says."""
    isa, tile = plan.isa, plan.tile
    (n, oh, ow, _), blocks = c.out, plan.blocks.shape[0]
    rows, row, elements, _ = x_layout(c, isa, tile.pixels)
    channels = blocks * plan.block
    with IRBuilder() as builder:
        with T.prim_func(s_tir=True):
            T.func_attr({"tirx.noalias": True})
            x = T.arg("x", T.buffer((elements,), isa.x_dtype))
            residual = T.arg("residual", T.buffer(c.out, "int8")) if c.residual else None
            weights = T.arg("weights", T.buffer(plan.packed_shape, isa.w_dtype))
            places = T.arg("places", T.buffer(plan.packed_shape[:1], plan.place_dtype(c)))
            first = T.arg("first", T.buffer((blocks + 1,), "int32"))
            bias = T.arg("bias", T.buffer((channels,), isa.acc_dtype))
            values = [T.arg(f"epilogue_{i}", T.buffer((channels,), str(v.dtype))) for i, v in enumerate(epilogue_values)]
            y = T.arg("y", T.buffer(c.out, out_dtype))
            with T.sblock("block_sparse"):
                T.reads()
                T.writes()
                # a row of x and the weights of a block stay in the first cache while the row's pixels pass
                with T.serial(n) as b, T.parallel(oh) as i, T.parallel(blocks) as o, T.parallel(math.ceil(ow / tile.pixels)) as j:
                    acc = T.sblock_alloc_buffer((tile.pixels // isa.rows, tile.vectors, isa.rows * isa.lanes), isa.acc_dtype, scope="local")
                    start = (b * rows + i * c.strides[0]) * row + j * (tile.pixels * tile.stride)
                    accumulate(plan, x, weights, places, first, bias, acc, start, o)
                    store(c, plan, acc, values, residual, y, (b, i, j, o))
        return builder.get()


def accumulate(plan: BlockPlan, x: Any, weights: Any, places: Any, first: Any, bias: Any, acc: Any, start: Any, o: Any) -> None:
    """acc of block o of the output channels, for the tile of pixels whose first begins at x[start]."""
    isa, tile = plan.isa, plan.tile
    span = (tile.pixels - 1) * tile.stride + tile.steps * isa.depth
    start_at_bias(plan, bias, acc, o)
    with T.serial(first[o + 1] - first[o]) as k, T.sblock("step"):
        T.reads()
        T.writes()
        number = first[o] + k
        place = start + T.Cast("int32", places[number])
        elements = T.match_buffer(x[place : place + span], (span,), isa.x_dtype, offset_factor=1)
        part = (slice(number, number + 1), *(slice(0, extent) for extent in plan.packed_shape[1:]))
        block = T.match_buffer(weights[part], plan.packed_shape[1:], isa.w_dtype, offset_factor=1)
        isa.emit(tile, elements, block, acc)


def start_at_bias(plan: TilePlan, bias: Any, acc: Any, o: Any) -> None:
    """acc[p, v] is the bias of the v-th vector of channels of block o, once for each of the instruction's rows."""
    isa, tile = plan.isa, plan.tile
    for v, p in product(range(tile.vectors), range(tile.pixels // isa.rows)):
        for r in range(isa.rows):
            T.buffer_store(acc, bias.vload([o * plan.block + v * isa.lanes], f"{isa.acc_dtype}x{isa.lanes}"), [p, v, T.ramp(r * isa.lanes, 1, isa.lanes)])


def store(c: Contraction, plan: TilePlan, acc: Any, values: Sequence[Any], residual: Any, y: Any, place: tuple[Any, Any, Any, Any]) -> None:
    """Requantizes a tile and stores the pixels and channels that exist."""
    isa, tile = plan.isa, plan.tile
    b, i, j, o = place
    ow, channels = c.out[2:]
    dtype = str(y.dtype)
    held = T.sblock_alloc_buffer((tile.pixels, plan.block), "int16" if dtype == "int8" else dtype, scope="local")
    for v, p in product(range(tile.vectors), range(tile.pixels // isa.rows)):
        with T.vectorized(isa.rows * isa.lanes) as lane:
            pixel, channel = (p, lane) if isa.rows == 1 else (p * isa.rows + lane // isa.lanes, lane % isa.lanes)
            parameters = [value[o * plan.block + v * isa.lanes + channel] for value in values]
            T.buffer_store(held, requantize(c.epilogue, acc[p, v, lane], parameters, isa.arithmetic), [pixel, v * isa.lanes + channel])
    width = store_width(c.group_channels, plan.block)
    for p in range(tile.pixels):
        with condition(j * tile.pixels + p < ow, ow % tile.pixels):
            for k in range(plan.block // width):
                channel = o * plan.block + k * width
                with condition(channel < channels, channels % plan.block):
                    store_channels(c, isa, width, held, (p, k * width), residual, y, (b, i, j * tile.pixels + p, channel))
