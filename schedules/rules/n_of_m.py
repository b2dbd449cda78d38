"""Convolution and dense layers of which at most one or two of every four neighbouring inputs' weights are not zero: stored as values and places.

They are multiplied like dense ones once a panel of them is unpacked; see `int4_kernel`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnc_tvm.schedules.candidates import Candidate
from nnc_tvm.schedules.epilogue import epilogue_constants
from nnc_tvm.schedules.isa import Tile
from nnc_tvm.schedules.loops import round_up
from nnc_tvm.schedules.operators import Operator
from nnc_tvm.schedules.rule import Choose, Stage
from nnc_tvm.schedules.rules import groups_of_four
from nnc_tvm.schedules.rules.contraction import bias_of, contraction_of, instructions, prepare_x
from nnc_tvm.schedules.rules.contraction_plan import Contraction, pixel_counts, tile_cost
from nnc_tvm.schedules.rules.groups_of_four import UNPACK_COST, stretch_of
from nnc_tvm.schedules.rules.int4 import panels
from nnc_tvm.schedules.rules.int4_kernel import int4_kernel
from nnc_tvm.schedules.rules.int4_plan import Int4Plan
from nnc_tvm.schedules.rules.residual import final_stage, takes_residual

PANEL_COST = 1.1  # of the dense kernel's instructions: a panel is read through one loop more


@dataclass(frozen=True, eq=False)
class NOfMPlan(Int4Plan):
    """n: of every four."""

    n: int = 2

    @property
    def chunk(self) -> int:
        """Fours that are unpacked at once."""
        return min(self.lanes, math.gcd(16, self.stretch)) if self.stretch > 4 else 16

    @property
    def stretch(self) -> int:
        return stretch_of(self.isa, self.tile.vectors)

    @property
    def panel(self) -> int:
        rows, runs, depths = self.turns
        return round_up(rows * runs * depths * self.turn, math.lcm(16 // self.n * self.chunk, 4 * self.stretch))

    @property
    def packed(self) -> int:
        return groups_of_four.packed_bytes(self.panel, self.n)

    def emit_unpack(self, packed: Any, o: Any, panel: Any) -> None:
        groups_of_four.emit_unpack(packed, o, panel, self.n, self.chunk, self.stretch)

    @property
    def name(self) -> str:
        return f"{self.n}:4 {self.isa.name} {self.tile.pixels}x{self.block}"


def candidate(operator: Operator, target: Any) -> Candidate | None:
    """None where more than two of four weights are not zero, where channels are no multiple of four, and for groups."""
    c = contraction_of(operator)
    if c is None or c.groups != 1 or c.weight.shape[3] % 4 or c.weight.dtype.kind == "f":
        return None
    n = max(1, groups_of_four.most(c.weight))
    plans = list(plans_of(c, target, n)) if n <= 2 else []
    if not plans:
        return None
    costs = [(target.optimize == "size" and plan.packed * plan.blocks, plan_cost(c, plan)) for plan in plans]
    best = min(range(len(plans)), key=costs.__getitem__)

    def build(choose: Choose) -> tuple[Stage, ...]:
        plan = plans[choose("n_of_m_plan", list(range(len(plans))), best)]
        prepared = prepare_x(c, plan.isa, plan.tile.pixels)
        pad = round_up(c.out[3], plan.block) - c.out[3]
        parameters = [np.pad(values, (0, pad)) for values in (bias_of(c, plan.isa), *(v for _, v in epilogue_constants(c.epilogue, c.out[3])))]
        function = int4_kernel(c, plan, parameters[1:], operator.output.dtype)
        return (*prepared, final_stage(c, function, -len(prepared), (pack_weights(c, plan), *parameters), operator.output, plan.name, plan.scratch))

    return Candidate("N:M", plan_cost(c, plans[best]), plans[best].packed * plans[best].blocks, build)


def plans_of(c: Contraction, target: Any, n: int) -> Iterator[NOfMPlan]:
    """Every instruction that takes the weights as bytes, with every register tile that keeps fours together."""
    runs, run = c.runs
    for isa in instructions(target.features, c.x_dtype):
        if isa.w_dtype != "int8" or not takes_residual(c, isa) or len(isa.split(c.weight)) > 1:
            continue
        depths = math.ceil(run / isa.depth)
        steps = next(s for s in isa.steps if depths % s == 0)
        turns = (c.weight.shape[1], runs, depths // steps)
        for vectors in isa.tiles:
            if stretch_of(isa, vectors) and (isa.depth > 2 or steps == 1):
                for pixels in pixel_counts(c, isa, vectors):
                    tile = Tile(pixels, vectors, steps, c.strides[1] * c.image[3])
                    yield NOfMPlan(isa, tile, turns, target.vector_bytes, math.prod(turns), math.ceil(c.out[3] / (vectors * isa.lanes)), n)


def plan_cost(c: Contraction, plan: NOfMPlan) -> float:
    """Estimated instructions, in the unit of `contraction_plan.tile_cost`."""
    multiplied = tile_cost(c, plan.isa, 1, plan.tile.pixels, plan.tile.vectors) * PANEL_COST
    return multiplied + plan.blocks * plan.panel * plan.n * UNPACK_COST


def pack_weights(c: Contraction, plan: NOfMPlan) -> np.ndarray:
    """uint8 (tiles of channels, plan.packed)."""
    whole = panels(c, plan)
    full = np.pad(whole, ((0, 0), (0, plan.panel - whole.shape[1])))
    return groups_of_four.pack(groups_of_four.fours(full, plan.stretch), plan.n, plan.chunk)
