"""The arena planner: no overlap, never below the lower bound, the optimum on small cases."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest

from nnc_tvm.package.arena import ALIGNMENT, EXHAUSTIVE, Buffer, Plan, lower_bound, plan
from nnc_tvm.targets.distance import Distance


def random_buffers(dice: random.Random, count: int, largest: int) -> list[Buffer]:
    buffers = []
    for _ in range(count):
        first = dice.randrange(count)
        buffers.append(Buffer(dice.randint(1, largest), first, min(count, first + dice.choice((0, 1, 1, 1, 2, 5)))))
    return buffers


def check(buffers: list[Buffer], result: Plan) -> None:
    for (a, at), (b, bt) in itertools.combinations(zip(buffers, result.offsets, strict=True), 2):
        assert not a.meets(b) or at + a.bytes <= bt or bt + b.bytes <= at
    assert all(offset % ALIGNMENT == 0 and offset >= 0 for offset in result.offsets)
    assert result.bytes == max(offset + b.bytes for offset, b in zip(result.offsets, buffers, strict=True))
    assert result.bytes >= result.lower_bound == lower_bound(buffers)


@pytest.mark.parametrize("seed", range(30))
def test_placements_are_valid_and_repeatable(seed: int) -> None:
    print(f"seed {seed}")
    dice = random.Random(seed)
    buffers = random_buffers(dice, dice.randint(1, 60), 5000)
    result = plan(buffers)
    check(buffers, result)
    assert plan(buffers) == result


@pytest.mark.parametrize("seed", range(20))
def test_small_cases_are_optimal(seed: int) -> None:
    print(f"seed {seed}")
    dice = random.Random(seed)
    buffers = [Buffer(ALIGNMENT * b.bytes, b.first, b.last) for b in random_buffers(dice, dice.randint(2, 4), 4)]
    places = range(0, sum(b.bytes for b in buffers), ALIGNMENT)
    best = min(
        max(o + b.bytes for o, b in zip(offsets, buffers, strict=True)) for offsets in itertools.product(places, repeat=len(buffers))
        if all(not a.meets(b) or o + a.bytes <= p or p + b.bytes <= o for (a, o), (b, p) in itertools.combinations(zip(buffers, offsets, strict=True), 2))
    )
    assert plan(buffers).bytes == best


def test_chain_reaches_the_lower_bound() -> None:
    sizes = [8000, 16000, 16000, 4000, 12000, 12000, 640]
    buffers = [Buffer(size, i, i + 1) for i, size in enumerate(sizes)]
    assert plan(buffers).bytes == lower_bound(buffers) == 32000


@pytest.mark.parametrize("seed", range(5))
def test_large_cases_are_near_the_lower_bound(seed: int) -> None:
    print(f"seed {seed}")
    dice = random.Random(seed)
    buffers = [Buffer(ALIGNMENT * b.bytes, b.first, b.last) for b in random_buffers(dice, 100, 300)]
    assert len(buffers) > EXHAUSTIVE
    result = plan(buffers)
    check(buffers, result)
    assert result.bytes <= 1.1 * result.lower_bound


def test_nothing_to_place() -> None:
    assert plan([]) == Plan((), 0, 0)


@pytest.mark.parametrize("seed", range(30))
def test_pairs_may_overlap_in_part(seed: int) -> None:
    """Of some pairs one begins a distance below the other or above: kept, never below the bound, and the optimum on small cases."""
    print(f"seed {seed}")
    dice = random.Random(seed)
    buffers = [Buffer(ALIGNMENT * b.bytes, b.first, b.last) for b in random_buffers(dice, dice.randint(2, 4), 6)]
    pairs = [pair for pair in itertools.combinations(range(len(buffers)), 2) if buffers[pair[0]].meets(buffers[pair[1]])]
    distances = {(i, j): Distance(dice.randint(-16, buffers[i].bytes), dice.randint(-16, buffers[j].bytes)) for i, j in dice.sample(pairs, len(pairs) // 2)}

    def valid(offsets: Sequence[int]) -> bool:
        apart = {(i, j): distances.get((i, j), (buffers[i].bytes, buffers[j].bytes)) for i, j in pairs}
        return all(offsets[i] - offsets[j] <= -below or offsets[i] - offsets[j] >= above for (i, j), (below, above) in apart.items())

    result = plan(buffers, distances)
    places = range(0, sum(b.bytes for b in buffers), ALIGNMENT)
    best = min(max(o + b.bytes for o, b in zip(offsets, buffers, strict=True)) for offsets in itertools.product(places, repeat=len(buffers)) if valid(offsets))
    assert valid(result.offsets) and result.bytes == best >= result.lower_bound


def test_a_chain_that_writes_over_its_inputs_takes_little_more_than_the_largest() -> None:
    """Images grow and shrink in turn, each written from below or above over the one before: no more than the largest and the distance."""
    sizes = [16 * n for n in (60, 500, 40, 400, 50, 500, 30)]
    buffers = [Buffer(size, i, i + 1) for i, size in enumerate(sizes)]
    distances = {(i + 1, i): Distance(max(0, b - a) + 32, max(0, a - b) + 32) for i, (a, b) in enumerate(itertools.pairwise(sizes))}
    assert plan(buffers, distances).bytes <= max(sizes) + 64 < plan(buffers).bytes
