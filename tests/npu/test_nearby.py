"""Plans near a plan, and what they are worth."""

from __future__ import annotations

import numpy as np

from nnc_tvm.package.arena import place
from nnc_tvm.targets.npu.codegen import for_plan
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.nearby import Ways, nearby
from nnc_tvm.targets.npu.nodes import DoesNotFit
from nnc_tvm.targets.npu.plan import Planner
from nnc_tvm.targets.npu.search import fastest
from nnc_tvm.targets.npu.segments import Segment
from nnc_tvm.targets.npu.selection import best_network, planner_of
from tests.kernels.cases import random_generator
from tests.npu.chains import random_chain

FAR = 1 << 40  # cycles


def random_planner(rng: np.random.Generator) -> Planner:
    nodes = random_chain(rng, int(rng.integers(4, 8)), (12, 40))
    return planner_of(nodes, ("x",), (nodes[-1].output,), Config())


def planner_with_choice(rng: np.random.Generator) -> tuple[Planner, list[Segment], list[tuple[Segment, list[Segment]]]]:
    """A planner, its plan, and those near it."""
    while True:
        planner = random_planner(rng)
        plan = fastest(planner, Config().sram_bytes).segments
        near = nearby(planner, plan, Config().sram_bytes, FAR, Ways())
        if near:
            return planner, plan, near


def test_a_plan_nearby_differs_in_one_segment() -> None:
    planner, plan, near = planner_with_choice(random_generator())
    for segment, other in near:
        assert segment not in plan and {*other} - {*plan} == {segment}
        assert [each.first for each in other] == [0, *(each.last for each in other[:-1])] and other[-1].last == plan[-1].last
    segment, first = near[0]
    again = nearby(planner, plan, Config().sram_bytes, FAR, Ways([segment]))
    assert again[-1] == (segment, first) and [s for s, _ in again[:-1]] == [s for s, _ in near[1:]]


def test_only_plans_whose_jobs_take_less_are_near() -> None:
    planner, plan, near = planner_with_choice(random_generator())
    size = Config().sram_bytes
    for _, other in near:
        try:
            cycles = for_plan(planner, other, Config(), place).cycles
        except DoesNotFit:
            continue
        assert other in [each for _, each in nearby(planner, plan, size, cycles + 1, Ways())]
    assert not nearby(planner, plan, size, 1, Ways())


def test_more_effort_is_no_slower() -> None:
    rng = random_generator()
    for _ in range(4):
        planner = random_planner(rng)
        config = Config(sram_bytes=int(0.6 * best_network(planner, Config(), place).sram_bytes))
        try:
            least, usual = (best_network(planner, config, place, effort).cycles for effort in (0, 2000))
        except DoesNotFit:
            continue
        assert usual <= least
