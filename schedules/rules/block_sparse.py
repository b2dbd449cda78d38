"""Convolution and dense layers whose weights are zero block by block: the kernel walks the blocks that are left.

A block is what one step of a register tile multiplies: `steps` depths of the instruction by its tile's output channels. The weights
themselves decide which size leaves the least to do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from nnc_tvm.schedules.candidates import Candidate
from nnc_tvm.schedules.epilogue import epilogue_constants
from nnc_tvm.schedules.intrin.neon import ARITHMETIC as NEON
from nnc_tvm.schedules.isa import DotProduct, Tile
from nnc_tvm.schedules.loops import round_up
from nnc_tvm.schedules.operators import Operator
from nnc_tvm.schedules.operators.operator import ITEM_BYTES
from nnc_tvm.schedules.rule import Choose, Stage
from nnc_tvm.schedules.rules.block_sparse_kernel import BlockPlan, block_sparse_kernel
from nnc_tvm.schedules.rules.contraction import bias_of, contraction_of, instructions_for, prepare_x
from nnc_tvm.schedules.rules.contraction_plan import COPY_COST, TURN_COST, Contraction, pixel_counts, store_width, x_layout
from nnc_tvm.schedules.rules.residual import final_stage

SPARSE = 0.9  # of the blocks at most: a list of nearly all blocks only adds indices
INDEX_COST = 2.0  # estimated instructions of reading a block's place
NEON_INDEX_COST = 3.5
PAIRS_COST = 3.5  # of the vectors of pairs that an instruction wants of a pixel's elements alone
SORT_COST = 2.8  # of a vector of several pixels' accumulators, beside storing it
ALONE_COST = 2.5  # of a pixel's elements of one depth, where an instruction would take several: such a load has no offset, each pixel needs an address


def candidate(operator: Operator, target: Any) -> Candidate | None:
    """None where there are groups, or no blocks to leave out."""
    c = contraction_of(operator)
    if c is None or c.groups != 1:
        return None
    plans = [plan for isa in instructions_for(c, target.features) if len(isa.split(c.weight)) == 1 for plan in plans_of(c, isa)]
    if not plans:
        return None
    costs = [(weight_bytes(plan), plan_cost(c, plan)) if target.optimize == "size" else (plan_cost(c, plan), weight_bytes(plan)) for plan in plans]
    best = min(range(len(plans)), key=costs.__getitem__)

    def build(choose: Choose) -> tuple[Stage, ...]:
        plan = plans[choose("block_plan", list(range(len(plans))), best)]
        prepared = prepare_x(c, plan.isa, plan.tile.pixels)
        pad = round_up(c.out[3], plan.block) - c.out[3]
        parameters = [np.pad(values, (0, pad)) for values in (bias_of(c, plan.isa), *(v for _, v in epilogue_constants(c.epilogue, c.out[3])))]
        function = block_sparse_kernel(c, plan, parameters[1:], operator.output.dtype)
        return (*prepared, final_stage(c, function, -len(prepared), (*pack_weights(c, plan), *parameters), operator.output, plan.name))

    return Candidate("block", plan_cost(c, plans[best]), weight_bytes(plans[best]), build)


def plans_of(c: Contraction, isa: DotProduct) -> Iterator[BlockPlan]:
    """Every register tile and block size of the instruction that leaves blocks out."""
    run, weights = c.runs[1], np.count_nonzero(c.weight)
    # blocks hold all weights, so that more of them than of the weights, counted with what fills up the last blocks, are not zero
    lines, depths = c.weight.size // (c.out[3] * run), round_up(run, isa.depth)
    sparse = [vectors for vectors in isa.tiles if weights <= SPARSE * round_up(c.out[3], vectors * isa.lanes) * lines * depths]
    if not sparse:
        return
    cells = nonzero_cells(c, isa)
    for vectors in sparse:
        rows = together(cells, vectors)
        for steps in {1, *isa.steps, 2 if isa.depth == 2 else 1}:
            if steps > 1 and run % (steps * isa.depth):
                continue
            blocks = np.asarray(rows.reshape(*rows.shape[:-1], -1, steps).any(-1))
            if blocks.mean() > SPARSE:
                continue
            for pixels in pixel_counts(c, isa, vectors):
                yield BlockPlan(isa, Tile(pixels, vectors, steps, c.strides[1] * c.image[3]), blocks)


def nonzero_cells(c: Contraction, isa: DotProduct) -> np.ndarray:
    """bool (O / lanes, KH * runs, run / depth), rounded up: whether a vector's weights of one depth are not all zero."""
    runs, run = c.runs
    out = c.out[3]
    weight = (c.weight != 0).reshape(out, -1, run)
    full = np.pad(weight, ((0, -out % isa.lanes), (0, 0), (0, -run % isa.depth)))
    return np.asarray(full.reshape(full.shape[0] // isa.lanes, isa.lanes, full.shape[1], -1, isa.depth).any((1, 4)))


def together(cells: np.ndarray, vectors: int) -> np.ndarray:
    """`cells` of `vectors` vectors together."""
    full = np.pad(cells, ((0, -cells.shape[0] % vectors), (0, 0), (0, 0)))
    return np.asarray(full.reshape(-1, vectors, *cells.shape[1:]).any(1))


def plan_cost(c: Contraction, plan: BlockPlan) -> float:
    """Estimated instructions, in the unit of `contraction_plan.tile_cost`."""
    isa, tile = plan.isa, plan.tile
    accumulators = tile.pixels // isa.rows * tile.vectors
    multiply, load_x, load_w = isa.cost
    neon = isa.arithmetic is NEON
    alone = tile.steps == 1 < max(isa.steps)
    load = load_x + max(0.0, 1 / tile.steps - 1 / max(isa.steps))  # load_x is what the most steps take
    if isa.rows > 1:
        load = load_x  # a pixel's elements are loaded by themselves in any case
    elif alone:
        load = ALONE_COST + PAIRS_COST * bool(isa.group)
    step = accumulators * multiply + tile.pixels * load + tile.vectors * (max(1.0, load_w) if neon else load_w)  # no weights in pairs
    turn = step * tile.steps + (TURN_COST + (NEON_INDEX_COST if neon else INDEX_COST)) * isa.beside
    pixel_tiles = math.prod(c.out[:2]) * math.ceil(c.out[2] / tile.pixels)
    a_tile = accumulators * (isa.stores[store_width(c.group_channels, plan.block)] + SORT_COST * (isa.rows > 1)) + isa.a_tile
    *_, elements, copied = x_layout(c, isa, tile.pixels)
    return pixel_tiles * (plan.count * turn + plan.blocks.shape[0] * a_tile) + copied * elements * COPY_COST


def weight_bytes(plan: BlockPlan) -> int:
    """Bytes of the weights with their places."""
    block = plan.block * plan.tile.steps * plan.isa.depth * ITEM_BYTES[plan.isa.w_dtype]
    return plan.count * (block + ITEM_BYTES["uint16"]) + ITEM_BYTES["int32"] * (plan.blocks.shape[0] + 1)


def pack_weights(c: Contraction, plan: BlockPlan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(weights, places, first blocks) as the kernel reads them; one block of zeros where there is none."""
    isa, tile = plan.isa, plan.tile
    runs, run = c.runs
    deep = tile.steps * isa.depth
    full = np.zeros((plan.blocks.shape[0] * plan.block, plan.blocks.shape[1], plan.blocks.shape[2] * deep), isa.w_dtype)
    full[: c.out[3], :, :run] = c.weight.reshape(c.out[3], -1, run)
    outer, lanes, inner = isa.weight_shape
    cut = full.reshape(-1, tile.vectors, lanes, full.shape[1], plan.blocks.shape[2], tile.steps, outer, inner).transpose(0, 3, 4, 5, 1, 6, 2, 7)
    _, row, *_ = x_layout(c, isa, tile.pixels)
    block, line, place = np.nonzero(plan.blocks)
    places = line // runs * c.dilation[0] * row + line % runs * c.dilation[1] * c.image[3] + place * deep
    first = np.concatenate([[0], np.cumsum(np.bincount(block, minlength=plan.blocks.shape[0]))]).astype(np.int32)
    weights = cut[block, line, place] if len(block) else np.zeros((1, *cut.shape[3:]), isa.w_dtype)
    return np.ascontiguousarray(weights), (places if len(block) else np.zeros(1)).astype(plan.place_dtype(c)), first
