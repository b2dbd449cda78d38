"""Where the buffers of a layout lie in SRAM, and how early weights are loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from nnc_tvm.targets.distance import Distance
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.memory import Buffer, Layout, live_bytes
from nnc_tvm.targets.npu.nodes import DoesNotFit
from nnc_tvm.targets.npu.segments import Segment

Pack = Callable[[Sequence[tuple[int, int, int]], Mapping[tuple[int, int], Distance], int], "tuple[Sequence[int], int, int]"]
"""(bytes, first step, last step) of each buffer, distances of those that need not be disjoint by their numbers, bytes that are few enough -> offsets,
bytes in all, and what is live at once at the most."""

Distances = Mapping[tuple[Buffer, Buffer], Distance]

LEADS = (6, 4, 3, 2, 1, 0)  # jobs ahead of their own that all weights are loaded


@dataclass(frozen=True, eq=False)
class Packed:
    """offsets: of each buffer. first: the step from which it holds data. bytes: of SRAM in all."""

    offsets: dict[Buffer, int]
    first: dict[Buffer, int]

    @property
    def bytes(self) -> int:
        return max(offset + buffer.bytes for buffer, offset in self.offsets.items())

    def overlap(self, a: Buffer, b: Buffer) -> int:
        """Bytes that two have in common."""
        low, high = self.offsets[a], self.offsets[b]
        return max(0, min(low + a.bytes, high + b.bytes) - max(low, high))


def packings(layout: Layout, config: Config, place: Pack) -> list[Packed]:
    """Ways to put all buffers into the SRAM. Raises DoesNotFit naming the layer that does not fit."""
    loads = [load.buffer for task in layout.tasks for load in task.loads]
    others = [buffer for buffer in layout.buffers if buffer not in set(loads)]
    distances = layout.distances
    found = [packed for packed in (_around(loads, others, distances, config, place), _together(loads, others, distances, config, place)) if packed is not None]
    if not found:
        first = {b: b.first for b in layout.buffers}
        live = live_bytes(layout.buffers, len(layout.tasks), first, _most(distances))
        step = max(range(len(layout.tasks)), key=lambda s: live[s])
        needed = max(live[step], _placed(layout.buffers, first, distances, place, 0).bytes)  # the more where there is no way to lay them side by side
        raise DoesNotFit(layout.nodes[layout.tasks[step].node], needed, config.sram_bytes)
    return found


def turned(layout: Layout, config: Config, place: Pack) -> list[Segment]:
    """Cascades of a layout that does not fit which would better go the other way: where each may go either, their outputs are placed on that side."""
    sides = {pair: (layout.distances[pair], layout.other_distance(pair)) for pair in layout.ends}
    either = {pair: Distance(min(a.below, b.below), min(a.above, b.above)) for pair, (a, b) in sides.items()}
    packed = _placed(layout.buffers, {b: b.first for b in layout.buffers}, {**layout.distances, **either}, place, config.sram_bytes)
    if packed.bytes > config.sram_bytes:
        return []
    apart = {(a, b): packed.offsets[a] - packed.offsets[b] for a, b in sides}
    return [layout.ends[pair][0] for pair, (own, _) in sides.items() if -own.below < apart[pair] < own.above]


def _most(distances: Distances) -> dict[tuple[Buffer, Buffer], int]:
    """Bytes that they can have in common."""
    return {(a, b): a.bytes + b.bytes - distance.extent(a.bytes, b.bytes) for (a, b), distance in distances.items()}


def _placed(buffers: Sequence[Buffer], first: dict[Buffer, int], distances: Distances, place: Pack, enough: int) -> Packed:
    numbers = {buffer: number for number, buffer in enumerate(buffers)}
    apart = {(numbers[a], numbers[b]): distance for (a, b), distance in distances.items()}
    offsets, _, _ = place([(b.bytes, first[b], b.last) for b in buffers], apart, enough)
    return Packed(dict(zip(buffers, offsets, strict=True)), first)


def _around(loads: Sequence[Buffer], others: Sequence[Buffer], distances: Distances, config: Config, place: Pack) -> Packed | None:
    """Images first; the weights, in the order of their use, each as early as some gap between what is there has room for them."""
    packed = _placed(others, {b: b.first for b in others}, distances, place, 0)
    total, earliest = packed.bytes, 0
    for buffer in loads:
        low, high = earliest, buffer.first
        if total > config.sram_bytes or _gap(packed, buffer, high, config) is None:
            return None
        while low < high:  # room at a step is room at all later ones
            middle = (low + high) // 2
            low, high = (low, middle) if _gap(packed, buffer, middle, config) is not None else (middle + 1, high)
        offset = _gap(packed, buffer, low, config)
        assert offset is not None
        packed.offsets[buffer], packed.first[buffer], earliest = offset, low, low
    return packed


def _gap(packed: Packed, buffer: Buffer, first: int, config: Config) -> int | None:
    """The smallest gap that is free from step `first` to the buffer's last."""
    best, size, end = None, 0, 0
    for offset, top in [*_taken(packed, packed.offsets, first, buffer.last), (config.sram_bytes, 0)]:
        if offset - end >= buffer.bytes and (best is None or offset - end < size):
            best, size = end, offset - end
        end = max(end, top)
    return best


def _taken(packed: Packed, buffers: Iterable[Buffer], first: int, last: int) -> list[tuple[int, int]]:
    """(offset, end) of those that hold data at some step from `first` to `last`, in order."""
    return sorted((packed.offsets[b], packed.offsets[b] + b.room) for b in buffers if packed.first[b] <= last and first <= b.last)


def _together(loads: Sequence[Buffer], others: Sequence[Buffer], distances: Distances, config: Config, place: Pack) -> Packed | None:
    """All at once, weights as many jobs ahead as all of them can be; then each is loaded as early as its place is free."""
    buffers = [*others, *loads]
    for lead in LEADS:
        first = {b: b.first for b in others} | {b: max(0, b.first - lead) for b in loads}
        if max(live_bytes(buffers, max(b.last for b in buffers), first, _most(distances))) > config.sram_bytes:
            continue
        packed = _placed(buffers, first, distances, place, config.sram_bytes)
        if packed.bytes <= config.sram_bytes:
            _load_early(packed, loads)
            return packed
    return None


def _load_early(packed: Packed, loads: Sequence[Buffer]) -> None:
    """Each, in order, once its place is free."""
    earliest = 0
    for buffer in loads:
        low, high = packed.offsets[buffer], packed.offsets[buffer] + buffer.bytes
        before = [b.last + 1 for b, offset in packed.offsets.items()
                  if b is not buffer and offset < high and low < offset + b.bytes and packed.first[b] < packed.first[buffer]]
        packed.first[buffer] = earliest = max([earliest, *before])
