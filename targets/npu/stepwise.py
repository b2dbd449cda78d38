"""A job of the NNC-1 cycle by cycle: what `clock`, which goes pass by pass, is checked against.

Three engines share one SRAM port, which gives the job 7 of 8 slots: the array, one loader that fills the input and weight buffers in the order they are
needed, as far ahead as there is room, and the drain of finished outputs, which goes first. Room comes back while the array uses a tile or a chunk for the
last time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.passes import Pass, input_room, passes, turns
from nnc_tvm.targets.npu.windowed import Conv, Pool

OUTPUT_QUEUE = 256  # bytes that wait for the port before the array does


def job_cycles(job: Conv | Pool, config: Config) -> int:
    """How long the job takes."""
    machine = _Machine(job, list(passes(job, config)), config)
    while machine.busy:
        machine.cycle()
    return machine.time + config.job_cycles


@dataclass
class _Machine:
    job: Conv | Pool
    passes: list[Pass]
    config: Config
    time: int = 0
    loading: int = 0  # pass whose loads are under way
    missing: list[int] = field(default_factory=list)  # of that pass, bytes of input, weights and others
    room: list[int] = field(default_factory=list)  # bytes free in the buffers of input and weights
    current: int = 0  # pass in the array
    fill: int = 0  # cycles until it may start
    pixel: int = 0
    group: int = 0
    step: int = 0
    freed: list[int] = field(default_factory=lambda: [0, 0])
    worked: int = 0  # steps of this block of pixels
    results: int = 0  # bytes of outputs in the array that are not requantized
    queue: int = 0  # bytes of outputs that wait for the port

    def __post_init__(self) -> None:
        self.missing, self.fill = list(self.passes[0].loads), self.config.fill_cycles
        self.room = [input_room(self.job, self.config), self.config.weight_buffer_bytes]

    @property
    def busy(self) -> bool:
        return self.current < len(self.passes) or self.results + self.queue > 0

    def cycle(self) -> None:
        if self.time % self.config.sram_bytes_per_cycle < self.config.compute_bytes_per_cycle:
            self._port(self.config.sram_bytes_per_cycle)
        if self.queue < OUTPUT_QUEUE:
            self._requantize()
            if self.current < min(self.loading, len(self.passes)):
                self._array(self.passes[self.current])
        self.time += 1

    def _requantize(self) -> None:
        """What a group has summed goes to the queue while the array works on the next: `passes` lets no group take less time than that."""
        count = min(self.results, self.job.moved * self.config.requantize_lanes)
        self.results -= count
        self.queue += count

    def _port(self, budget: int) -> None:
        drained = min(budget, self.queue)
        self.queue -= drained
        budget -= drained
        while self.loading < len(self.passes):
            for kind, room in enumerate((*self.room, budget)):
                count = min(budget, self.missing[kind], room)
                self.missing[kind] -= count
                budget -= count
                if kind < 2:
                    self.room[kind] -= count
            if any(self.missing):
                return
            self.loading += 1
            self.missing = list(self.passes[self.loading].loads) if self.loading < len(self.passes) else []

    def _array(self, now: Pass) -> None:
        if self.fill:
            self.fill -= 1
            return
        pixels = min(self.config.pixels, now.tile.pixels - self.pixel)
        self.step += 1
        self.worked += 1
        if self.pixel + pixels == now.tile.pixels:
            self._free(now, 1, self.worked, now.chunk.work * self._turns(pixels))
        if self.step < now.chunk.steps[self.group] * self._turns(pixels):
            return
        self.step = 0
        self.results += self.job.moved * now.chunk.widths[self.group] * pixels
        self.group += 1
        if self.group == len(now.chunk.steps):
            self.group = self.worked = 0
            self.pixel += pixels
            self._free(now, 0, self.pixel, now.tile.pixels)
            if self.pixel == now.tile.pixels:
                self._next()

    def _turns(self, pixels: int) -> int:
        """How often the array does the steps of a block of pixels: a pool's, several times."""
        return turns(self.job, pixels, self.config)

    def _free(self, now: Pass, kind: int, done: int, total: int) -> None:
        """Gives back what the array has used for the last time, in proportion."""
        target = now.frees[kind] * done // total
        self.room[kind] += target - self.freed[kind]
        self.freed[kind] = target

    def _next(self) -> None:
        self.current += 1
        self.pixel, self.freed, self.fill = 0, [0, 0], self.config.fill_cycles
