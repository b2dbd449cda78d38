"""Convolution and dense layers of which few weights are not zero, wherever they are: every channel picks its inputs from windows that a block shares."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from nnc_tvm.schedules.candidates import NEAR, Candidate
from nnc_tvm.schedules.epilogue import epilogue_constants
from nnc_tvm.schedules.intrin.windows import WINDOWS
from nnc_tvm.schedules.isa import Tile
from nnc_tvm.schedules.loops import round_up
from nnc_tvm.schedules.operators import Operator
from nnc_tvm.schedules.rule import Choose, Stage
from nnc_tvm.schedules.rules import groups_of_four
from nnc_tvm.schedules.rules.contraction import bias_of, contraction_of, prepare_x
from nnc_tvm.schedules.rules.contraction_plan import COPY_COST, TURN_COST, Contraction, pixel_counts, store_width
from nnc_tvm.schedules.rules.residual import final_stage, takes_residual
from nnc_tvm.schedules.rules.window_kernel import window_kernel
from nnc_tvm.schedules.rules.window_lists import Slots, slots_of, slots_of_fours
from nnc_tvm.schedules.rules.window_plan import WindowPlan

SPARSE = 0.5  # of the weights at most: more never take less time and bytes
INDEX_COST = 2.0  # estimated instructions of reading a window's place


def candidate(operator: Operator, target: Any) -> Candidate | None:
    """None for groups, and where the lists are not smaller than all weights."""
    c = contraction_of(operator)
    if c is None or c.groups != 1 or c.x_dtype != "int8" or np.mean(c.weight != 0) > SPARSE:
        return None
    plans = [plan for plan in plans_of(c, target) if plan.weight_bytes < c.weight.size]
    if not plans:
        return None
    costs = [(plan_cost(plan, target), plan.weight_bytes) for plan in plans]
    near = {"speed": 1.0, "balanced": NEAR, "size": math.inf}[target.optimize] * min(costs)[0]
    best = min((k for k, (cost, _) in enumerate(costs) if cost <= near), key=lambda k: costs[k][::-1])

    def build(choose: Choose) -> tuple[Stage, ...]:
        return make_stages(operator, plans[choose("window_plan", list(range(len(plans))), best)])

    return Candidate("N:M" if n_of_m(c) else "unstructured", *costs[best], build)


def n_of_m(c: Contraction) -> int:
    """N where at most N = 1 or 2 of every four neighbouring inputs' weights are not zero, else 0."""
    n = max(1, groups_of_four.most(c.weight)) if c.weight.shape[3] % 4 == 0 else 0
    return n if n <= 2 else 0


def all_slots(weight: np.ndarray, block: int, window: int, taps: int, n: int) -> tuple[Slots, ...]:
    """The lists of N:M, which take fewer bytes, and those of any weights, which take less time."""
    anywhere = slots_of(weight, block, window, taps)
    return (slots_of_fours(weight, n, block, window, taps), anywhere) if n else (anywhere,)


def plans_of(c: Contraction, target: Any) -> Iterator[WindowPlan]:
    """Every instruction and register tile that the weights and the residual allow."""
    weight, n = c.weight.reshape(c.out[3], -1, c.runs[1]), n_of_m(c)
    made: dict[tuple[int, int, int], tuple[Slots, ...]] = {}  # instructions may differ in what they read alone
    for isa in WINDOWS:
        if not isa.features <= target.features or not takes_residual(c, isa) or len(isa.split(c.weight)) > 1:
            continue
        for vectors in isa.tiles:
            block = vectors * isa.lanes
            key = (block, isa.depth, isa.taps)
            if key not in made:
                made[key] = all_slots(weight, *key, n)
            for slots, pixels in product(made[key], pixel_counts(c, isa, vectors)):
                yield WindowPlan(c, isa, Tile(pixels, vectors, 1, c.strides[1] * c.image[3]), slots, math.ceil(c.out[3] / block))


def plan_cost(plan: WindowPlan, target: Any) -> float:
    """Estimated instructions, in the unit of `contraction_plan.tile_cost`.

    Every tile of pixels reads the lists of a block of channels again: what the first cache does not hold of them comes from the second.
    """
    c, isa, tile = plan.c, plan.isa, plan.tile
    accumulators = tile.pixels * tile.vectors
    multiply, load_x, load_w = isa.cost
    unpack = isa.unpack_cost if plan.shared > 1 else 0.0
    slot = accumulators * multiply + tile.pixels * load_x + tile.vectors * (load_w + isa.widen_cost + unpack)
    entry = plan.shared * (slot + INDEX_COST * isa.beside) + TURN_COST * isa.beside
    a_tile = accumulators * isa.stores[store_width(c.group_channels, plan.block)] + isa.a_tile
    *_, elements, copied = plan.layout
    tiles = math.prod(c.out[:2]) * math.ceil(c.out[2] / tile.pixels)
    read = max(0, plan.weight_bytes - plan.blocks * target.l1_bytes) * target.read_cost
    return tiles * (plan.entries * entry + plan.blocks * a_tile + read) + copied * elements * COPY_COST


def make_stages(operator: Operator, plan: WindowPlan) -> tuple[Stage, ...]:
    """The padded image, where it is needed, and the kernel."""
    c = plan.c
    prepared = prepare_x(c, plan.isa, plan.tile.pixels, plan.reach)
    pad = round_up(c.out[3], plan.block) - c.out[3]
    parameters = [np.pad(values, (0, pad)) for values in (bias_of(c, plan.isa), *(v for _, v in epilogue_constants(c.epilogue, c.out[3])))]
    function = window_kernel(plan, parameters[1:], operator.output.dtype)
    return (*prepared, final_stage(c, function, -len(prepared), (*plan.pack(), *parameters), operator.output, plan.name))
