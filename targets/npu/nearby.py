"""Plans near a plan: one of its steps another way, or some of them together in a cascade."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

from nnc_tvm.targets.npu.commands import HEADER_WORDS
from nnc_tvm.targets.npu.plan import Planner
from nnc_tvm.targets.npu.search import Label
from nnc_tvm.targets.npu.segments import Option, Segment

Ways = Counter[Segment]
"""How often each segment has been put into a plan instead of others."""


def nearby(planner: Planner, plan: Sequence[Segment], limit: int, cycles: int, tried: Ways) -> list[tuple[Segment, list[Segment]]]:
    """Segments that `plan` does not have and the plans with them, within `limit` bytes, whose jobs take less than `cycles`: what has been tried least first,
    and of that the fastest by the estimate."""
    found: list[tuple[int, int, Segment, list[Segment]]] = []
    ends = {segment.last: number for number, segment in enumerate(plan, 1)}
    before = [Label(4 * HEADER_WORDS, 0)]
    options = [_option(planner, segment) for segment in plan]
    for option in options:
        before.append(before[-1].after(option, limit))
    array = list(itertools.accumulate((option.alone.array for option in options), initial=0))
    for number, segment in enumerate(plan):
        for option in planner.options(segment.first):
            end = ends.get(option.segment.last)
            if end is None or option.segment == segment or option.bytes > limit:
                continue
            if array[number] + option.alone.array + array[-1] - array[end] < cycles:
                label = before[number].after(option, limit)
                for later in options[end:]:
                    label = label.after(later, limit)
                found.append((tried[option.segment], label.time, option.segment, [*plan[:number], option.segment, *plan[end:]]))
    return [(segment, other) for _, _, segment, other in sorted(found, key=lambda each: each[:2])]


def _option(planner: Planner, segment: Segment) -> Option:
    return next(option for option in planner.options(segment.first) if option.segment == segment)
