"""Float convolutions and dense layers whose weights are 4-bit integers with a scale per block: stored so, and made floats in registers.

y[p, o] = bias[o] + sum over kernel rows, runs, blocks b, k of x[pixel p + b * size + k] * (scale[o, b] * (nibble[o, b, k] - zero[o, b]))
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.candidates import Candidate
from nnc_tvm.schedules.integer_blocks import IntegerBlocks, integer_blocks
from nnc_tvm.schedules.isa import EPILOGUE_COST, TILE_COST, DotProduct, Tile
from nnc_tvm.schedules.loops import round_up
from nnc_tvm.schedules.operators import Operator
from nnc_tvm.schedules.rule import Choose, Stage
from nnc_tvm.schedules.rules.block_sparse_kernel import store
from nnc_tvm.schedules.rules.contraction import contraction_of, instructions, prepare_x
from nnc_tvm.schedules.rules.contraction_plan import Contraction, pixel_counts, x_layout

LANES = 16  # output channels of a vector: so many bytes hold two weights of each
TILES = {1: 5, 2: 2}
UNPACK_COST = (1.5, 3.5)  # estimated instructions per weight vector, and per register that it becomes


@dataclass(frozen=True, eq=False)
class BlocksPlan:
    """isa: float multiply-adds of vectors of LANES; registers: that such a vector takes. blocks: the weights, (O, KH * runs * run)."""

    isa: DotProduct
    registers: int
    tile: Tile
    blocks: IntegerBlocks

    @property
    def block(self) -> int:
        """Output channels of a tile."""
        return self.tile.vectors * LANES

    @property
    def symmetric(self) -> bool:
        """Whether all zero points are 8, which is not stored."""
        return bool((self.blocks.zero == 8).all())

    @property
    def name(self) -> str:
        return f"int4/{self.blocks.size} {self.isa.name} {self.tile.pixels}x{self.block}"


def candidate(operator: Operator, target: Any) -> Candidate | None:
    """None where the weights are no such integers, and for groups of channels."""
    c = contraction_of(operator)
    if c is None or c.groups != 1 or c.weight.dtype != np.float32:
        return None
    blocks = integer_blocks(c.weight.reshape(-1, c.runs[1]))  # blocks end where a run of x does
    if blocks is None or blocks.size % 2:
        return None
    plans = [BlocksPlan(dataclasses.replace(isa, lanes=LANES, tiles=TILES), LANES // isa.lanes, Tile(p, v, 1, c.strides[1] * c.image[3]), blocks)
             for isa in instructions(target.features, "float32") for v in TILES for p in pixel_counts(c, dataclasses.replace(isa, tiles=TILES), v)]
    if not plans:
        return None
    best = min(range(len(plans)), key=lambda k: plan_cost(c, plans[k]))

    def build(choose: Choose) -> tuple[Stage, ...]:
        plan = plans[choose("int4_blocks_plan", list(range(len(plans))), best)]
        prepared = prepare_x(c, plan.isa, plan.tile.pixels)
        bias = np.pad(c.bias, (0, -c.out[3] % plan.block))
        constants = (*pack_weights(c, plan), bias)
        return (*prepared, Stage(blocks_kernel(c, plan, constants), (-len(prepared),), constants, operator.output, plan.name))

    stored = sum(array.nbytes for array in pack_weights(c, plans[best]))
    return Candidate("int4", plan_cost(c, plans[best]), stored, build, model_bytes=stored)


def plan_cost(c: Contraction, plan: BlocksPlan) -> float:
    """Estimated instructions, in the unit of `contraction_plan.tile_cost`."""
    pixels, vectors = plan.tile.pixels, plan.tile.vectors
    tiles = math.prod(c.out[:2]) * math.ceil(c.out[2] / pixels) * math.ceil(c.out[3] / plan.block)
    each = vectors * (pixels * plan.registers + UNPACK_COST[0] + UNPACK_COST[1] * plan.registers) + pixels
    return tiles * (c.weight[0].size * each + pixels * vectors * plan.registers * EPILOGUE_COST[8] + TILE_COST)


def pack_weights(c: Contraction, plan: BlocksPlan) -> tuple[np.ndarray, ...]:
    """(nibbles uint8 (tiles, KH * runs * run / 2, block), scales float32 (tiles, blocks, block)[, zero points int8, alike]).

    A byte holds an even column's weight in its low half, the next one's in its high half.
    """
    out = c.out[3]

    def tiled(values: np.ndarray, fill: int) -> np.ndarray:
        """(O * KH * runs, n) as (tiles, KH * runs * n, block)."""
        full = np.pad(values.reshape(out, -1), ((0, -out % plan.block), (0, 0)), constant_values=fill)
        return np.ascontiguousarray(full.reshape(-1, plan.block, full.shape[1]).swapaxes(1, 2))

    nibble = tiled(plan.blocks.nibble, 8)
    constants = (nibble[:, ::2] | nibble[:, 1::2] << np.uint8(4), tiled(plan.blocks.scale, 0))
    return constants if plan.symmetric else (*constants, tiled(plan.blocks.zero, 0))


def blocks_kernel(c: Contraction, plan: BlocksPlan, constants: Sequence[np.ndarray]) -> Any:
    """PrimFunc (x, *constants, y), the constants those of `pack_weights` and the bias (O,), O rounded up to whole tiles."""
    tile, size = plan.tile, plan.blocks.size
    n, oh, ow, out = c.out
    runs, run = c.runs
    rows, row, elements, _ = x_layout(c, plan.isa, tile.pixels)
    with IRBuilder() as builder:
        with T.prim_func(s_tir=True):
            T.func_attr({"tirx.noalias": True})
            x = T.arg("x", T.buffer((elements,), "float32"))
            stored = [T.arg(f"constant_{k}", T.buffer(array.shape, str(array.dtype))) for k, array in enumerate(constants)]
            y = T.arg("y", T.buffer(c.out, "float32"))
            *weights, bias = stored
            with T.sblock("int4_blocks"):
                T.reads()
                T.writes()
                with T.parallel(round_up(out, plan.block) // plan.block) as o, T.serial(n) as b, T.parallel(oh) as i, T.parallel(-(-ow // tile.pixels)) as j:
                    acc = T.sblock_alloc_buffer((tile.pixels, tile.vectors, LANES), "float32", scope="local")
                    for p in range(tile.pixels):
                        for v in range(tile.vectors):
                            T.buffer_store(acc, bias.vload([o * plan.block + v * LANES], f"float32x{LANES}"), [p, v, T.ramp(0, 1, LANES)])
                    with T.serial(c.weight.shape[1]) as kh, T.serial(runs) as kw, T.serial(run // size) as k:
                        number = (kh * runs + kw) * (run // size) + k
                        line = (b * rows + i * c.strides[0] + kh * c.dilation[0]) * row
                        place = line + j * (tile.pixels * tile.stride) + kw * (c.dilation[1] * c.image[3]) + k * size
                        one_block(plan, x, place, weights, (o, number), acc)
                    store(c, plan, acc, [], None, y, (b, i, j, o))
        return builder.get()


def one_block(plan: BlocksPlan, x: Any, place: Any, weights: Sequence[Any], at: tuple[Any, Any], acc: Any) -> None:
    """Adds the products of a block, two columns of weights at a time. A single pixel's are scaled when they are summed, weights of several before."""
    tile, half_size, dtype = plan.tile, plan.blocks.size // 2, f"float32x{LANES}"
    nibbles, scales, *zeros = weights
    o, number = at
    alone = tile.pixels == 1
    total = T.sblock_alloc_buffer((1, tile.vectors, LANES), "float32", scope="local") if alone else acc
    if alone:
        for v in range(tile.vectors):
            T.buffer_store(total, T.broadcast(T.float32(0), LANES), [0, v, T.ramp(0, 1, LANES)])
    with T.serial(half_size) as k:
        for half, v in product((0, 1), range(tile.vectors)):
            lane = v * LANES
            both = nibbles.vload([o, number * half_size + k, lane], f"uint8x{LANES}")
            nibble = T.shift_right(both, T.broadcast(T.uint8(4), LANES)) if half else T.bitwise_and(both, T.broadcast(T.uint8(15), LANES))
            zero = zeros[0].vload([o, number, lane], f"int8x{LANES}") if zeros else T.broadcast(T.int8(8), LANES)
            weight = T.Cast(dtype, T.Cast(f"int8x{LANES}", nibble) - zero)
            if not alone:
                weight = weight * scales.vload([o, number, lane], dtype)
            for p in range(tile.pixels):
                element = T.broadcast(x[place + p * tile.stride + 2 * k + half], LANES)
                T.buffer_store(total, total.vload([p, v, 0], dtype) + weight * element, [p, v, T.ramp(0, 1, LANES)])
    for v in range(tile.vectors if alone else 0):
        scaled = total.vload([0, v, 0], dtype) * scales.vload([o, number, v * LANES], dtype)
        T.buffer_store(acc, acc.vload([0, v, 0], dtype) + scaled, [0, v, T.ramp(0, 1, LANES)])
