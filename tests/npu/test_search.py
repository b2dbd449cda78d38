"""The search over plans: its estimate against the clock's timeline, and what more SRAM does to the plans that it finds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from nnc_tvm.errors import Unsupported
from nnc_tvm.package.arena import place
from nnc_tvm.targets.npu.codegen import for_plan
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.nodes import DoesNotFit, Node, fuse_sums
from nnc_tvm.targets.npu.pace import Work, pace
from nnc_tvm.targets.npu.plan import Planner
from nnc_tvm.targets.npu.search import fastest
from nnc_tvm.targets.npu.selection import generate
from nnc_tvm.targets.npu.views import ALIGNMENT
from tests.kernels.cases import random_generator
from tests.npu.chains import random_chain

SIZES = [1 << 30, *(int(4096 * 1.3 ** n) for n in range(15))]


def test_a_run_of_jobs_waits_for_its_loads() -> None:
    works = [Work(100, 4, 50), Work(100, 4, 500), Work(10, 4, 50)]
    one, two, kept = pace(works, 1), pace(works, 2), pace(works, None)
    assert one.late == 104 + 50 + 104 + 500 + 14 + 50 and one.ready == one.late - 100  # each load waits for the jobs of the one before
    assert two.late == 208 + 500 + 50 and two.ready == 4 + 104 + 500 + 50
    assert kept.late == two.late and kept.ready == 4 + 50 + 500 + 50
    assert one.flash == two.flash == kept.flash == 222 and one.array == two.array == kept.array == 600
    assert [kept.cycles(lead) for lead in (0, 100, 1000)] == [758, 658, 604]


def test_the_estimate_of_a_plan_is_near_its_timeline() -> None:
    rng, ratios = random_generator(), []
    while len(ratios) < 15:
        nodes = random_chain(rng, int(rng.integers(3, 7)), (12, 40))
        planner = Planner(fuse_sums(nodes, (nodes[-1].output,)), ("x",), (nodes[-1].output,), Config())
        label = fastest(planner, Config().sram_bytes)
        assert [segment.first for segment in label.segments] == [0, *(segment.last for segment in label.segments[:-1])]
        ratios.append(label.time / for_plan(planner, label.segments, Config(), place).cycles)
    assert min(ratios) > 0.75 and max(ratios) < 1.3 and abs(np.mean(ratios) - 1) < 0.1, ratios


def test_more_sram_is_no_slower() -> None:
    rng, compared = random_generator(), 0
    while compared < 12:
        nodes = random_chain(rng, int(rng.integers(3, 7)), (12, 40))
        found: list[tuple[int, int]] = []
        for size in sorted(SIZES):
            try:
                found.append((size, generate(nodes, ("x",), (nodes[-1].output,), Config(sram_bytes=size), place).cycles))
            except Unsupported:
                assert not found, (size, found)
        for number, (_, cycles) in enumerate(found[1:], 1):
            assert cycles <= 1.02 * min(before for _, before in found[:number]), found
            compared += 1


def test_a_layer_that_no_plan_has_room_for_says_the_least_that_does() -> None:
    """With so many bytes the network fits; with one step fewer it is refused for the same reason."""
    rng = random_generator()
    for _ in range(4):
        nodes = random_chain(rng, int(rng.integers(2, 6)), (8, 24))

        def refusal(size: int, nodes: Sequence[Node] = nodes) -> DoesNotFit:
            with pytest.raises(DoesNotFit, match=r"layer 'layer\d' needs \d+ bytes of SRAM .* the NPU has \d+;") as refused:
                generate(nodes, ("x",), (nodes[-1].output,), Config(sram_bytes=size), place)
            return refused.value

        needed = refusal(int(rng.integers(1, 300))).needed
        assert generate(nodes, ("x",), (nodes[-1].output,), Config(sram_bytes=needed), place).sram_bytes <= needed
        assert refusal(needed - ALIGNMENT).needed == needed
