"""A job of the NNC-1 cycle by cycle: what the closed form of `clock` is checked against.

Three engines share one SRAM port, which gives the job 7 of 8 slots: the array, one loader that fills the input and weight buffers in the order they are
needed, as far ahead as there is room, and the drain of finished outputs, which goes first. Room comes back while the array uses a tile or a chunk for the
last time.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field

from nnc_tvm.targets.npu.clock import ceil, group_steps, tiles, touched_rows
from nnc_tvm.targets.npu.commands import PARAMETER_BYTES, Conv, Pool
from nnc_tvm.targets.npu.config import CHANNELS, Config

OUTPUT_QUEUE = 256  # bytes that wait for the port before the array does


@dataclass(frozen=True)
class Pass:
    """A tile's chunk. loads: bytes that come before it, of (input, weights, parameters and masks). frees: whether the array needs input and
    weights for the last time; the third take no room of the buffers.

    pixels: output positions. steps, channels: of each group; no channels come out before the last slice.
    """

    loads: tuple[int, int, int]
    frees: tuple[bool, bool]
    pixels: int
    steps: tuple[int, ...]
    channels: tuple[int, ...]

    @functools.cached_property
    def work(self) -> int:
        """Steps for one block of pixels."""
        return sum(self.steps)


def job_cycles(job: Conv | Pool, config: Config) -> int:
    """How long the job takes."""
    moved = 2 if isinstance(job, Conv) and job.residual is not None else 1
    machine = _Machine(list(_passes(job, config)), config, moved)
    while machine.busy:
        machine.cycle()
    return machine.time + config.job_cycles


def _passes(job: Conv | Pool, config: Config) -> Iterator[Pass]:
    spans = list(tiles(job.output.height, job.tile_rows))
    starts = range(0, job.output.channels, job.chunk)
    outer = isinstance(job, Conv) and job.chunks_outer
    slices = job.slices if isinstance(job, Conv) and not job.depthwise else (job.source.channels,)
    rows, chunks, parts = range(len(spans)), range(len(starts)), range(len(slices))
    order = [(t, c, 0) for c in chunks for t in rows] if outer else [(t, c, s) for t in rows for c in chunks for s in parts]
    by_chunk = not isinstance(job, Conv) or job.depthwise  # its input is the chunk's channels
    for n, (t, c, s) in enumerate(order):
        channels = min(job.chunk, job.output.channels - starts[c])
        group = job.group if isinstance(job, Conv) else CHANNELS
        groups = slice(starts[c] // group, starts[c] // group + ceil(channels, group))
        line = job.source.width * (channels if by_chunk else slices[s])
        data = touched_rows(job.window, job.source, *spans[t]) * line
        weights, others = _weight_bytes(job, groups, s, channels, n)
        before, after = (order[n - 1] if n else (-1, -1, -1)), (order[n + 1] if n + 1 < len(order) else (-1, -1, -1))
        same = [((other[0], other[2]) == (t, s) and not (by_chunk and other[1] != c), other[1:] == (c, s)) for other in (before, after)]
        pixels = (spans[t][1] - spans[t][0]) * job.output.width
        yield Pass((0 if same[0][0] else data, 0 if same[0][1] else weights, 0 if same[0][1] else others), (not same[1][0], not same[1][1]),
                   pixels, _steps(job, groups, s, min(pixels, config.pixels), config),
                   tuple(min(group, channels - at) if s == len(slices) - 1 else 0 for at in range(0, channels, group)))


def _weight_bytes(job: Conv | Pool, groups: slice, slice_: int, channels: int, number: int) -> tuple[int, int]:
    """Of the chunk's blocks, of its parameters and the job's masks."""
    if isinstance(job, Pool):
        return 0, 0
    parameters = 0 if slice_ else PARAMETER_BYTES * channels + (job.mask_bytes if number == 0 else 0)
    return job.block_bytes * sum(job.blocks[slice_::len(job.slices)][groups]), parameters


def _steps(job: Conv | Pool, groups: slice, slice_: int, pixels: int, config: Config) -> tuple[int, ...]:
    """Cycles of the array on each group of the chunk for one block of `pixels`; a pool's taps spread over all its lanes."""
    if isinstance(job, Pool):
        return (max(ceil(pixels * job.window.kernel[0] * job.window.kernel[1], config.pixels), pixels),) * (groups.stop - groups.start)
    return tuple(group_steps(job, config, slice_)[groups])


@dataclass
class _Machine:
    passes: list[Pass]
    config: Config
    moved: int  # bytes through the port for each output
    time: int = 0
    loading: int = 0  # pass whose loads are under way
    missing: list[int] = field(default_factory=list)  # of that pass, bytes of input and weights
    held: list[int] = field(default_factory=lambda: [0, 0, 0])  # bytes in the two buffers, and those that take no room
    current: int = 0  # pass in the array
    fill: int = 0  # cycles until it may start
    pixel: int = 0
    group: int = 0
    step: int = 0
    freed: list[int] = field(default_factory=lambda: [0, 0])
    worked: int = 0  # steps of this block of pixels
    resident: list[int] = field(default_factory=lambda: [0, 0, 0])  # bytes that the current pass works on
    queue: int = 0  # outputs that wait for the port

    def __post_init__(self) -> None:
        self.missing, self.resident = list(self.passes[0].loads), list(self.passes[0].loads)
        self.fill = self.config.fill_cycles

    @property
    def busy(self) -> bool:
        return self.current < len(self.passes) or self.queue > 0

    def cycle(self) -> None:
        if self.time % self.config.sram_bytes_per_cycle < self.config.compute_bytes_per_cycle:
            self._port(self.config.sram_bytes_per_cycle)
        if self.current < min(self.loading, len(self.passes)):
            self._array(self.passes[self.current])
        self.time += 1

    def _port(self, budget: int) -> None:
        drained = min(budget, self.queue)
        self.queue -= drained
        budget -= drained
        sizes = (self.config.input_buffer_bytes, self.config.weight_buffer_bytes, self.held[2] + budget)
        while self.loading < len(self.passes):
            for kind in range(3):
                count = min(budget, self.missing[kind], max(0, sizes[kind] - self.held[kind]))
                self.missing[kind] -= count
                self.held[kind] += count
                budget -= count
            if any(self.missing):
                return
            self.loading += 1
            self.missing = list(self.passes[self.loading].loads) if self.loading < len(self.passes) else []

    def _array(self, now: Pass) -> None:
        if self.fill:
            self.fill -= 1
            return
        if self.queue >= OUTPUT_QUEUE:
            return
        self.step += 1
        self.worked += 1
        if self.pixel + self.config.pixels >= now.pixels:
            self._free(now, 1, self.worked, now.work)
        if self.step < now.steps[self.group]:
            return
        self.step = 0
        self.queue += self.moved * now.channels[self.group] * min(self.config.pixels, now.pixels - self.pixel)
        self.group += 1
        if self.group == len(now.steps):
            self.group = self.worked = 0
            self.pixel += self.config.pixels
            self._free(now, 0, min(self.pixel, now.pixels), now.pixels)
            if self.pixel >= now.pixels:
                self._next()

    def _free(self, now: Pass, kind: int, done: int, total: int) -> None:
        """Gives back what the array has used for the last time, in proportion."""
        if now.frees[kind]:
            target = self.resident[kind] * done // total
            self.held[kind] -= target - self.freed[kind]
            self.freed[kind] = target

    def _next(self) -> None:
        self.current += 1
        self.pixel, self.freed, self.fill = 0, [0, 0], self.config.fill_cycles
        if self.current < len(self.passes):
            self.resident = [load or held for load, held in zip(self.passes[self.current].loads, self.resident, strict=True)]
