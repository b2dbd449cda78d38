"""Which plans a Winograd convolution has, and what they take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from nnc_tvm.schedules.isa import DotProduct, Tile
from nnc_tvm.schedules.loops import round_up
from nnc_tvm.schedules.operators.operator import ITEM_BYTES
from nnc_tvm.schedules.parallel import BALANCED, share
from nnc_tvm.schedules.rules.contraction_plan import COPY_COST, TURN_COST, Contraction, store_width
from nnc_tvm.schedules.rules.winograd_forms import WinogradForm
from nnc_tvm.schedules.rules.winograd_plan import WinogradPlan, image_layout
from nnc_tvm.schedules.rules.winograd_tiles import fitting_tiles, whole_tiles

TOGETHER = 1.6  # what several threads get from memory at once, over what one gets
TRANSFORM_COST = 7.0  # estimated instructions per vector of U that the kernel makes: it is written and read again
STORE_COST = 3.5  # more of them for each further STORE bytes of such a vector
STORE = 32
ROW_COST = 25.0  # estimated instructions per row of points of such a vector, where they are used at once
V_COST = 0.1  # estimated instructions per byte of a V that is beyond the second cache, which every block of channels reads again
NEAR_COST = 0.05  # of them where V is in the second cache, as far as the products leave time for nothing but loads
WEIGHT_COST = 0.1  # estimated instructions per byte of weights, which every block of tiles reads again


@dataclass(frozen=True)
class Size:
    """All that plans and their costs depend on. out: (N, H, W, O); channels: of the input; raw_dtype: of the weights before they are transformed."""

    out: tuple[int, int, int, int]
    channels: int
    raw_dtype: str

    @classmethod
    def of(cls, c: Contraction) -> Size:
        """Of a convolution of stride 1."""
        return cls(c.out, c.image[3], raw_dtype(c.weight))


def raw_dtype(weight: np.ndarray) -> str:
    """Of the weights before they are transformed."""
    if weight.dtype == np.float32:
        return "float32"
    return "int8" if weight.min(initial=0) >= -128 and weight.max(initial=0) < 128 else "int16"


@lru_cache(maxsize=128)
def costed_plans(size: Size, form: WinogradForm, isa: DotProduct, target: Any) -> tuple[tuple[float, WinogradPlan], ...]:
    """The plans with their costs, found once for all layers of a size: networks repeat them, and passes ask for a layer more than once."""
    return tuple((plan_cost(size, plan, target), plan) for plan in plans_of(size, form, isa, target))


def plans_of(size: Size, form: WinogradForm, isa: DotProduct, target: Any) -> list[WinogradPlan]:
    """Every register tile of the instruction, with the blocks of tiles whose scratch fills at most half of the second cache: weights pass through it.

    Weights come transformed where they may grow, and as they are: then a chunk of them is transformed at a time, and of V the part that meets it has to
    fit, or, where what stands beside the products takes little time, every vector on its way.
    """
    channels = size.channels
    lanes = max(isa.lanes * isa.depth, target.vector_bytes // ITEM_BYTES[isa.x_dtype])
    item, depth = ITEM_BYTES[isa.x_dtype], round_up(channels, isa.depth)
    ahead = target.prefetch_bytes if item * form.points**2 * channels * size.out[3] > target.l2_bytes else 0
    steps = next(s for s in isa.steps if depth // isa.depth % s == 0)
    whole, fitting = whole_tiles(size.out, form), fitting_tiles(size.out, form)
    tiles = whole[0].count
    plain = [WinogradPlan(form, whole, isa, Tile(pixels, vectors, steps, depth), group, lanes, depth, ahead)
             for vectors in isa.tiles for pixels in range(1, isa.tiles[vectors] + 1) for group in groups(tiles, pixels)]
    edged = [replace(plan, kinds=fitting) for plan in plain if plan.group >= tiles]
    plans = []
    for plan in [*plain, *(plan for plan in edged if plan.fits)]:
        pixels, vectors = plan.tile.pixels, plan.tile.vectors
        made = [plan, replace(plan, chunk=chunk_of(plan, target.l2_bytes * 3 // 8))]
        if vectors == 1 and isa.beside < 1 and pixels * form.points <= isa.accumulators and (not plan.fits or plan.group == pixels):
            from_afar = form.taps**2 * channels * size.out[3] > target.l2_bytes // 4
            made.append(replace(plan, ahead=target.prefetch_bytes * from_afar, chunk=plan.steps, in_registers=True))
        v, m = plan.scratch
        for each in made:
            part = item * v * (each.chunk or plan.steps) // plan.steps
            if (plan.group == pixels and not plan.fits) or part + 4 * m <= target.l2_bytes // 2:
                plans.append(each)
    return plans


def chunk_of(plan: WinogradPlan, most: int) -> int:
    """The most steps that the chunks of a reduction can have whose U fills at most so many bytes; at least those of a turn."""
    a_step = plan.form.points**2 * math.prod(plan.step_shape) * ITEM_BYTES[plan.isa.w_dtype]
    turns = plan.steps // plan.tile.steps
    return plan.tile.steps * max(n for n in range(1, turns + 1) if turns % n == 0 and (n == 1 or n * plan.tile.steps * a_step <= most))


def groups(tiles: int, pixels: int) -> Sequence[int]:
    """Sizes of equal blocks, in Winograd tiles: whole register tiles, the fewest that make each count of blocks."""
    whole = math.ceil(tiles / pixels)
    return sorted({math.ceil(whole / blocks) * pixels for blocks in range(1, whole + 1)})


def plan_cost(size: Size, plan: WinogradPlan, target: Any) -> float:
    """Estimated instructions of all threads, in the unit of `contraction_plan.tile_cost`."""
    isa, tile, form = plan.isa, plan.tile, plan.form
    blocks = 1 if plan.fits else math.ceil(plan.tiles / plan.group)
    channel_blocks = math.ceil(size.out[3] / plan.block)
    chunks = plan.steps // plan.chunk if plan.chunk else 1
    beside = ROW_COST / form.points * isa.beside * tile.steps if plan.in_registers else 0.0

    def product_cost(pixels: int) -> float:
        """Of a register tile and all steps."""
        multiply, load_x, load_w = isa.cost
        accumulators = pixels * tile.vectors
        load = 0.0 if isa.reads and tile.vectors == 1 else load_x if tile.steps > 1 or len(isa.steps) == 1 else 1.0
        loads = pixels * load + tile.vectors * load_w
        turn = (accumulators * multiply + loads) * tile.steps + TURN_COST * isa.beside + beside
        return plan.steps // tile.steps * turn + chunks * ((2 if chunks == 1 else 3) * accumulators + isa.a_tile)

    sizes = [(zone.points * math.ceil(zone.tiles / plan.pixels(zone)), plan.pixels(zone)) for zone in plan.zones]
    product = blocks * channel_blocks * sum(count * product_cost(pixels) for count, pixels in sizes)
    into = sum(kind.count * kind.points for kind in plan.kinds) * math.ceil(size.channels / plan.lanes) * 6.5
    per_output = 3 + isa.stores[store_width(size.out[3], plan.block)]
    vectors = sum(kind.count * (kind.points * 4.0 + kind.down.m * kind.across.m * per_output) for kind in plan.kinds)
    out = channel_blocks * (tile.vectors * vectors + 2 * isa.a_tile * plan.tiles)
    weights = weights_cost(size, plan, blocks, target)
    rows, row = image_layout(size.channels, plan)
    # parts share the blocks of tiles, or those of channels: then each transforms all tiles
    threads, by_tiles, by_channels = target.threads, share(blocks, target.threads), share(channel_blocks, target.threads)
    v_bytes = plan.scratch[0] * ITEM_BYTES[isa.x_dtype]
    again = blocks * channel_blocks * v_bytes * (V_COST if v_bytes > target.l2_bytes // 2 else NEAR_COST * (1 - isa.beside))
    shared = product + out + weights + again
    computed = (shared + into) / by_tiles if by_tiles >= min(BALANCED, by_channels) else shared / by_channels + into * threads
    return computed + size.out[0] * rows * row * COPY_COST


def weights_cost(size: Size, plan: WinogradPlan, blocks: int, target: Any) -> float:
    """Reading the weights for every block of tiles, and transforming those that do not come so."""
    weights = weight_bytes(size, plan)
    again = weights * WEIGHT_COST * plan.isa.beside
    first = weights * target.stream_cost * max(1.0, target.threads / TOGETHER) if weights > target.stream_bytes else again
    read = first + (blocks - 1) * again
    if not plan.u_shape:
        return read
    elements = math.prod(plan.step_shape)
    vectors = math.ceil(size.out[3] / plan.block) * plan.steps * elements // math.gcd(elements, plan.lanes)
    stores = math.ceil(plan.lanes * ITEM_BYTES[plan.isa.w_dtype] / STORE)
    return read + blocks * vectors * (plan.form.taps**2 + (TRANSFORM_COST + STORE_COST * (stores - 1)) * plan.form.points**2)


def weight_bytes(size: Size, plan: WinogradPlan) -> int:
    """Of the packed weights."""
    return math.prod(plan.packed_shape(size.out[3])) * ITEM_BYTES[size.raw_dtype if plan.chunk else plan.isa.w_dtype]
