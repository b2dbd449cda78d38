"""Convolution and dense layers whose weights fit 4 bits: stored as two in a byte, whoever made them so small."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from nnc_tvm.schedules.candidates import Candidate
from nnc_tvm.schedules.epilogue import epilogue_constants
from nnc_tvm.schedules.intrin.short_sums import SHORT, ShortDotProduct
from nnc_tvm.schedules.isa import DotProduct, Tile
from nnc_tvm.schedules.loops import round_up
from nnc_tvm.schedules.operators import Operator
from nnc_tvm.schedules.rule import Choose, Stage
from nnc_tvm.schedules.rules.contraction import bias_of, contraction_of, instructions, prepare_x
from nnc_tvm.schedules.rules.contraction_plan import Contraction, pixel_counts, tile_cost
from nnc_tvm.schedules.rules.int4_kernel import int4_kernel
from nnc_tvm.schedules.rules.int4_plan import Int4Plan, RegisterPlan
from nnc_tvm.schedules.rules.nibbles import fit, pack
from nnc_tvm.schedules.rules.residual import final_stage, takes_residual


def candidate(operator: Operator, target: Any) -> Candidate | None:
    """None where a weight does not fit 4 bits, and for groups."""
    c = contraction_of(operator)
    if c is None or c.groups != 1 or not fit(c.weight):
        return None
    plans = list(plans_of(c, target))
    if not plans:
        return None
    costs = [(target.optimize == "size" and packed_bytes(plan), plan_cost(c, plan)) for plan in plans]
    best = min(range(len(plans)), key=costs.__getitem__)

    def build(choose: Choose) -> tuple[Stage, ...]:
        plan = plans[choose("int4_plan", list(range(len(plans))), best)]
        prepared = prepare_x(c, plan.isa, plan.tile.pixels)
        pad = round_up(c.out[3], plan.block) - c.out[3]
        parameters = [np.pad(values, (0, pad)) for values in (bias_of(c, plan.isa), *(v for _, v in epilogue_constants(c.epilogue, c.out[3])))]
        function = int4_kernel(c, plan, parameters[1:], operator.output.dtype)
        return (*prepared, final_stage(c, function, -len(prepared), (pack_weights(c, plan), *parameters), operator.output, plan.name, plan.scratch))

    return Candidate("int4", plan_cost(c, plans[best]), packed_bytes(plans[best]), build)


def plans_of(c: Contraction, target: Any) -> Iterator[Int4Plan]:
    """Every instruction that takes the weights as they are, with every register tile."""
    short: tuple[DotProduct, ...] = tuple(isa for isa in SHORT if isa.features <= target.features)
    (runs, run), largest = c.runs, int(np.abs(c.weight).max(initial=0))
    for isa in (*short, *instructions(target.features, c.x_dtype)):
        if isa.w_dtype != "int8" or not takes_residual(c, isa) or len(isa.split(c.weight)) > 1:
            continue
        depths = math.ceil(run / isa.depth)
        steps = next(s for s in isa.steps if depths % s == 0)
        turns = (c.weight.shape[1], runs, depths // steps)
        chain = isa.chain(largest) // steps if isinstance(isa, ShortDotProduct) else math.prod(turns)
        for vectors in isa.tiles:
            for pixels in pixel_counts(c, isa, vectors):
                tile = Tile(pixels, vectors, steps, c.strides[1] * c.image[3])
                cut = (isa, tile, turns, target.vector_bytes, chain, math.ceil(c.out[3] / (vectors * isa.lanes)))
                yield Int4Plan(*cut)
                if (alone := RegisterPlan(*cut)).possible:
                    yield alone


def plan_cost(c: Contraction, plan: Int4Plan) -> float:
    """Estimated instructions, in the unit of `contraction_plan.tile_cost`."""
    isa, tile = plan.isa, plan.tile
    tiles = math.prod(c.out[:2]) * math.ceil(c.out[2] / tile.pixels) * plan.blocks
    unpacked = tiles if isinstance(plan, RegisterPlan) else plan.blocks
    cost = tile_cost(c, isa, 1, tile.pixels, tile.vectors) + unpacked * plan.unpack_cost
    if isinstance(isa, ShortDotProduct):
        kept = 2.0 * (plan.sums > 1)  # the totals wait in memory
        cost += tiles * plan.sums * tile.pixels * tile.vectors * (isa.widen_cost + kept)
    return cost


def packed_bytes(plan: Int4Plan) -> int:
    """Bytes of the weights."""
    return plan.blocks * plan.panel // 2


def pack_weights(c: Contraction, plan: Int4Plan) -> np.ndarray:
    """uint8 (tiles of channels, panel / 2), as `int4_kernel` reads them."""
    return pack(panels(c, plan), plan.lanes)


def panels(c: Contraction, plan: Int4Plan) -> np.ndarray:
    """The weights (tiles of channels, weights of a panel) in the order the kernel reads them."""
    isa, tile = plan.isa, plan.tile
    rows, runs, depths = plan.turns
    outer, lanes, inner = isa.weight_shape
    full = np.zeros((plan.blocks * plan.block, rows, runs, depths * tile.steps * isa.depth), c.weight.dtype)
    full[: c.out[3], ..., : c.runs[1]] = c.weight.reshape(c.out[3], rows, runs, -1)
    cut = full.reshape(-1, tile.vectors, lanes, rows, runs, depths, tile.steps, outer, inner).transpose(0, 3, 4, 5, 6, 1, 7, 2, 8)
    return np.ascontiguousarray(cut).reshape(cut.shape[0], -1)
