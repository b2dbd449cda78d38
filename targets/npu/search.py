"""The segments that make the fastest plan within a limit of the SRAM: dynamic programming over how far time and the DMA are after each node."""

from __future__ import annotations

from dataclasses import dataclass

from nnc_tvm.targets.npu.commands import HEADER_WORDS
from nnc_tvm.targets.npu.nodes import DoesNotFit
from nnc_tvm.targets.npu.plan import Planner
from nnc_tvm.targets.npu.segments import Option, Segment

MOST_LABELS = 6  # that are kept after each node


@dataclass(frozen=True, eq=False)
class Label:
    """A way to have computed some nodes. time: cycles. lead: cycles that the DMA is ahead of what it must have read by then, into room beside
    the last segment."""

    time: int
    lead: int
    option: Option | None = None
    before: Label | None = None

    def after(self, option: Option, limit: int) -> Label:
        pace, room = option.pace(limit), limit - option.bytes
        lead = min(self.lead, pace.flash + room)
        if lead < pace.flash and self.option is not None and option.weights:
            lead = min(lead, (limit - self.option.bytes) // option.weights * pace.flash // option.pieces)
        cycles = pace.cycles(lead)
        return Label(self.time + cycles, min(room, max(0, lead + cycles - pace.flash)), option, self)

    @property
    def bytes(self) -> int:
        """What the segments need."""
        return max(self.option.bytes, self.before.bytes) if self.option is not None and self.before is not None else 0

    @property
    def segments(self) -> list[Segment]:
        return [*self.before.segments, self.option.segment] if self.option is not None and self.before is not None else []


def fastest(planner: Planner, limit: int, largest: int = 1 << 30) -> Label:
    """The plan of the fewest cycles, about, of those that need `limit` bytes at the most, layers' pieces of weights `largest`.

    Raises DoesNotFit naming the layer that cannot."""
    labels: list[list[Label]] = [[Label(4 * HEADER_WORDS, 0)], *([] for _ in planner.nodes)]
    reached = 0
    for first in range(len(planner.nodes)):
        for option in planner.options(first) if labels[first] else ():
            if option.bytes <= limit and min(option.segment.most, option.weights) <= largest:
                labels[option.segment.last] += [label.after(option, limit) for label in labels[first]]
                reached = max(reached, option.segment.last)
        labels[first + 1] = _undominated(labels[first + 1])
    if not labels[-1]:
        raise DoesNotFit(planner.nodes[reached], min(option.bytes for option in planner.options(reached)), limit)
    return labels[-1][0]


def _undominated(labels: list[Label]) -> list[Label]:
    """The fastest, and of those that are slower the ones whose DMA is further than waiting would bring it."""
    kept: list[Label] = []
    for label in sorted(labels, key=lambda each: (each.time, -each.lead)):
        if not kept or label.lead - label.time > kept[-1].lead - kept[-1].time:
            kept.append(label)
    return kept[:MOST_LABELS]
