"""Offline placement of buffers with known lifetimes in one block of memory (dynamic storage allocation).

First fit at the lowest free offset reaches the optimum for at least one order of the buffers (place the buffers of an optimal
packing by their offsets), so the search is over orders: all of them for a few buffers, several greedy ones and then a seeded local
search otherwise. It stops at the lower bound. Two buffers that are live together are disjoint, but for pairs that may overlap in part: an output that is
written over what has been read of its input. Compare Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net
Inference" (MLSys 2020), for the greedy orders.
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from nnc_tvm.targets.distance import Distance

ALIGNMENT = 16
"""Bytes every offset, and the arena itself, is a multiple of: a NEON register. Kernels need no more than their elements' alignment,
and 64-byte offsets would cost small networks a percent of their RAM."""

EXHAUSTIVE = 7  # buffers: 5040 orders
SEARCH_STEPS = 200_000  # pairs of buffers looked at by the local search, about
WORSE = 0.5  # than the best, what the local search goes on from at most


@dataclass(frozen=True)
class Buffer:
    """`bytes` of memory that hold data from step `first` to step `last`, both included."""

    bytes: int
    first: int
    last: int

    def meets(self, other: Buffer) -> bool:
        """Whether both hold data at some step."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Plan:
    """offsets: of each buffer, multiples of ALIGNMENT. bytes: what the arena needs. lower_bound: live bytes of the fullest step."""

    offsets: tuple[int, ...]
    bytes: int
    lower_bound: int


Distances = Mapping[tuple[int, int], Distance]
"""Of buffer i to buffer j, by (i, j), where they need not be disjoint."""

Conflicts = Sequence[Sequence[tuple[int, int, int]]]
"""Of each buffer the others that it must keep away from: (j, below, above)."""


def place(buffers: Sequence[tuple[int, int, int]], distances: Distances, enough: int = 0) -> tuple[Sequence[int], int, int]:
    """`plan` on plain numbers: (bytes, first, last) of each buffer -> offsets, bytes in all, lower bound."""
    found = plan([Buffer(*numbers) for numbers in buffers], distances, enough)
    return found.offsets, found.bytes, found.lower_bound


def lower_bound(buffers: Sequence[Buffer], distances: Distances = MappingProxyType({})) -> int:
    """Bytes that no placement can go below: the most that is live at one step."""
    live = (sum(b.bytes for b in buffers if b.first <= step <= b.last)
            - sum(buffers[i].bytes + buffers[j].bytes - d.extent(buffers[i].bytes, buffers[j].bytes) for (i, j), d in distances.items()
                  if max(buffers[i].first, buffers[j].first) <= step <= min(buffers[i].last, buffers[j].last)) for step in {b.first for b in buffers})
    return max(live, default=0)


def plan(buffers: Sequence[Buffer], distances: Distances = MappingProxyType({}), enough: int = 0) -> Plan:
    """Offsets for `buffers` such that no two that are live together overlap, but for `distances`; of few bytes, or of what is `enough`.

    The same buffers always give the same plan."""
    lowest = lower_bound(buffers, distances)
    bound = max(lowest, enough)
    conflicts = _conflicts(buffers, distances)
    best: list[int] = []
    best_bytes = 0
    for order in _orders(buffers):
        offsets = _first_fit(buffers, conflicts, order)
        height = _height(buffers, offsets)
        if not best or height < best_bytes:
            best, best_bytes = offsets, height
        if best_bytes <= bound:
            break
    if best_bytes > bound and len(buffers) > EXHAUSTIVE:
        best, best_bytes = _local_search(buffers, conflicts, best, bound)
    return Plan(tuple(best), best_bytes, lowest)


def _conflicts(buffers: Sequence[Buffer], distances: Distances) -> Conflicts:
    apart = {**distances, **{(j, i): distance.reverse for (i, j), distance in distances.items()}}
    return [[(j, *apart.get((i, j), (b.bytes, other.bytes))) for j, other in enumerate(buffers) if j != i and b.meets(other)] for i, b in enumerate(buffers)]


def _orders(buffers: Sequence[Buffer]) -> Iterator[Sequence[int]]:
    """Orders of placement worth trying: greedy ones, and for a few buffers all."""
    indices = range(len(buffers))
    length = [b.last - b.first + 1 for b in buffers]
    yield sorted(indices, key=lambda i: (-buffers[i].bytes, buffers[i].first))
    yield sorted(indices, key=lambda i: (-buffers[i].bytes * length[i], i))
    yield sorted(indices, key=lambda i: (-length[i], -buffers[i].bytes))
    # the fullest steps first, and within a step the largest first
    live = [sum(b.bytes for b in buffers if b.meets(buffer)) for buffer in buffers]
    yield sorted(indices, key=lambda i: (-live[i], -buffers[i].bytes, i))
    yield sorted(indices, key=lambda i: (buffers[i].first, -buffers[i].bytes))
    yield sorted(indices, key=lambda i: (-buffers[i].last, -buffers[i].bytes))
    if len(buffers) <= EXHAUSTIVE:
        yield from itertools.permutations(indices)


def _first_fit(buffers: Sequence[Buffer], conflicts: Conflicts, order: Sequence[int]) -> list[int]:
    offsets = [-1] * len(buffers)
    _refit(buffers, conflicts, order, offsets)
    return offsets


def _refit(buffers: Sequence[Buffer], conflicts: Conflicts, order: Sequence[int], offsets: list[int], most: int = sys.maxsize) -> bool:
    """Places those of `order` beside the others that have an offset; whether all end within `most`, else it stops."""
    for i in order:
        place = 0
        for low, high in sorted([(offsets[j] - below, offsets[j] + above) for j, below, above in conflicts[i] if offsets[j] >= 0]):
            if place <= low:
                break
            if high > place:
                place = -(-high // ALIGNMENT) * ALIGNMENT
        if place + buffers[i].bytes > most:
            return False
        offsets[i] = place
    return True


def _height(buffers: Sequence[Buffer], offsets: Sequence[int]) -> int:
    return max((offset + b.bytes for b, offset in zip(buffers, offsets, strict=True)), default=0)


def _local_search(buffers: Sequence[Buffer], conflicts: Conflicts, offsets: list[int], bound: int) -> tuple[list[int], int]:
    """Places a buffer earlier in the order that the height rests on, one at the top or below it; keeps what is not worse than the best, or, at first more
    often and by more than at the end, what is."""
    dice = random.Random(0)
    best, best_bytes = offsets, _height(buffers, offsets)
    order, current, current_bytes = sorted(range(len(buffers)), key=lambda i: offsets[i]), best, best_bytes
    steps = max(20, SEARCH_STEPS // (len(buffers) + sum(map(len, conflicts))))
    for step in range(steps):
        if best_bytes <= bound:
            break
        trial, to = _earlier(order, conflicts, _pile(buffers, conflicts, current, current_bytes, dice), dice)
        placed = current[:]
        for i in trial[to:]:
            placed[i] = -1
        most = int(best_bytes * (1 + WORSE * dice.random() ** 2 * (1 - step / steps)))
        if _refit(buffers, conflicts, trial[to:], placed, max(current_bytes, most)):
            order, current, current_bytes = trial, placed, _height(buffers, placed)
            if current_bytes < best_bytes:
                best, best_bytes = current, current_bytes
    return best, best_bytes


def _earlier(order: Sequence[int], conflicts: Conflicts, pile: Sequence[int], dice: random.Random) -> tuple[list[int], int]:
    """`order` with a buffer of the pile, now and then any, before one that it conflicts with; where it differs."""
    moved = dice.choice(pile if dice.random() < 0.95 else order)
    at, near = order.index(moved), {j for j, _, _ in conflicts[moved]}
    to = dice.choice([place for place in range(at) if order[place] in near] or [at])
    return [*order[:to], moved, *order[to:at], *order[at + 1:]], to


def _pile(buffers: Sequence[Buffer], conflicts: Conflicts, offsets: Sequence[int], height: int, dice: random.Random) -> list[int]:
    """A buffer that ends at the height, one that it rests on, and so on to the bottom."""
    pile = [dice.choice([i for i, b in enumerate(buffers) if offsets[i] + b.bytes == height])]
    while offsets[pile[-1]] > 0:
        below = [j for j, _, above in conflicts[pile[-1]] if -(-(offsets[j] + above) // ALIGNMENT) * ALIGNMENT == offsets[pile[-1]] and j not in pile]
        if not below:  # it rests on one above, at a negative distance
            break
        pile.append(dice.choice(below))
    return pile
