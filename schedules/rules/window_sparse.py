"""Convolution and dense layers of which few weights are not zero, wherever they are: every channel picks its inputs from windows that a block shares."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from nnc_tvm.schedules.candidates import Candidate
from nnc_tvm.schedules.epilogue import epilogue_constants
from nnc_tvm.schedules.intrin.windows import WINDOWS
from nnc_tvm.schedules.isa import Tile
from nnc_tvm.schedules.loops import round_up
from nnc_tvm.schedules.operators import Operator
from nnc_tvm.schedules.rule import Choose, Stage
from nnc_tvm.schedules.rules import groups_of_four
from nnc_tvm.schedules.rules.contraction import bias_of, contraction_of, prepare_x
from nnc_tvm.schedules.rules.contraction_plan import COPY_COST, EPILOGUE_COST, TILE_COST, TURN_COST, Contraction, pixel_counts, store_width
from nnc_tvm.schedules.rules.residual import final_stage, takes_residual
from nnc_tvm.schedules.rules.window_kernel import window_kernel
from nnc_tvm.schedules.rules.window_lists import slots_of
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
    costs = [(plan.weight_bytes, plan_cost(plan)) if target.optimize == "size" else (plan_cost(plan), plan.weight_bytes) for plan in plans]
    best = min(range(len(plans)), key=costs.__getitem__)

    def build(choose: Choose) -> tuple[Stage, ...]:
        return make_stages(operator, plans[choose("window_plan", list(range(len(plans))), best)])

    return Candidate("N:M" if is_n_of_m(c) else "unstructured", plan_cost(plans[best]), plans[best].weight_bytes, build)


def is_n_of_m(c: Contraction) -> bool:
    """Whether at most two of every four neighbouring inputs' weights are not zero."""
    return c.weight.shape[3] % 4 == 0 and groups_of_four.most(c.weight) <= 2


def plans_of(c: Contraction, target: Any) -> Iterator[WindowPlan]:
    """Every instruction and register tile that the weights and the residual allow."""
    weight = c.weight.reshape(c.out[3], -1, c.runs[1])
    for isa in WINDOWS:
        if not isa.features <= target.features or not takes_residual(c, isa) or len(isa.split(c.weight)) > 1:
            continue
        for vectors in isa.tiles:
            block = vectors * isa.lanes
            slots = slots_of(weight, block, isa.depth, isa.taps)
            for pixels in pixel_counts(c, isa, vectors):
                yield WindowPlan(c, isa, Tile(pixels, vectors, 1, c.strides[1] * c.image[3]), slots, math.ceil(c.out[3] / block))


def plan_cost(plan: WindowPlan) -> float:
    """Estimated instructions, in the unit of `contraction_plan.tile_cost`."""
    c, isa, tile = plan.c, plan.isa, plan.tile
    accumulators = tile.pixels * tile.vectors
    multiply, load_x, load_w = isa.cost
    slot = accumulators * multiply + tile.pixels * load_x + tile.vectors * (load_w + isa.widen_cost) + (TURN_COST + INDEX_COST) * isa.beside
    a_tile = accumulators * EPILOGUE_COST[store_width(c, plan.block)] + TILE_COST
    *_, elements, copied = plan.layout
    tiles = math.prod(c.out[:2]) * math.ceil(c.out[2] / tile.pixels)
    return tiles * (plan.count * slot + plan.blocks * a_tile) + copied * elements * COPY_COST


def make_stages(operator: Operator, plan: WindowPlan) -> tuple[Stage, ...]:
    """The padded image, where it is needed, and the kernel."""
    c = plan.c
    prepared = prepare_x(c, plan.isa, plan.tile.pixels, plan.reach)
    pad = round_up(c.out[3], plan.block) - c.out[3]
    parameters = [np.pad(values, (0, pad)) for values in (bias_of(c, plan.isa), *(v for _, v in epilogue_constants(c.epilogue, c.out[3])))]
    function = window_kernel(plan, parameters[1:], operator.output.dtype)
    return (*prepared, final_stage(c, function, -len(prepared), (*plan.pack(), *parameters), operator.output, plan.name))
