"""How long a run of jobs takes beside the loads of its weights, by how far ahead of it the DMA is: an estimate for searches over plans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Work(NamedTuple):
    """Jobs on one load of weights, or on none. load: cycles of the DMA for the weights. fetch: for the commands. array: cycles of the jobs."""

    load: int
    fetch: int
    array: int


class Pace(NamedTuple):
    """flash: cycles of the DMA in all. array: of the jobs in all, which the run does not go below. late: cycles of the run where the DMA begins with it;
    ready: where it has the first load, or all that are kept, by then. Between these every cycle that the DMA is ahead saves one."""

    flash: int
    array: int
    late: int
    ready: int

    def cycles(self, lead: int) -> int:
        """Where the DMA is `lead` cycles ahead."""
        return max(self.ready, self.late - lead)


def pace(works: Sequence[Work], room: int | None) -> Pace:
    """room: how many loads the SRAM holds at once; None: it keeps all of them."""
    flash, array = sum(work.load + work.fetch for work in works), sum(work.array for work in works)
    return Pace(flash, array, _run(works, room, 0), _run(works, room, len(works) if room is None else 1))


def _run(works: Sequence[Work], room: int | None, there: int) -> int:
    """Cycles, where the first `there` loads take no time."""
    dma, ends = 0, [0]  # ends: of the array's work
    for number, work in enumerate(works):
        if room is not None:
            dma = max(dma, ends[max(0, number + 1 - room)])
        dma += work.fetch + (work.load if number >= there else 0)
        ends.append(max(ends[-1], dma) + work.array)
    return ends[-1]
