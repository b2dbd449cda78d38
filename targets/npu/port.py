"""The SRAM's port as a CONV, DWCONV or POOL has it: what is loaded while the array works, and how long that waits. docs/npu.md, "Clock"."""

from __future__ import annotations

from collections.abc import Sequence

from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.passes import Pass, ceil, input_room
from nnc_tvm.targets.npu.windowed import Conv, Pool


def waits(job: Conv | Pool, passes: Sequence[Pass], config: Config) -> list[int]:
    """Cycles that the array waits before each pass, and after the last until what it wrote has gone."""
    port, found = Port(job, passes, config), []
    for number, (tile, chunk, _, (data, weights)) in enumerate(passes):
        found.append(port.wait(number))
        outputs = job.moved * tile.pixels * chunk.outputs
        # inputs come free after, and outputs are made by, each block of output positions; weights come free in the last one
        early, written = (total * (tile.blocks - 1) // tile.blocks for total in (data, outputs))
        port.advance(config.fill_cycles + (tile.turns - tile.last) * chunk.work, written, (early, 0))
        port.advance(tile.last * chunk.work, outputs - written, (0, weights))
        port.input_room += data - early
    return [*found, ceil(port.owed, config.compute_bytes_per_cycle)]


class Port:
    """Loads what passes need, in order, as far ahead as the buffers have room; what the array writes goes first.

    owed: bytes written that the port has not had the time to take."""

    def __init__(self, job: Conv | Pool, passes: Sequence[Pass], config: Config) -> None:
        self.rate = config.compute_bytes_per_cycle
        self.input_room, self.weight_room = input_room(job, config), config.weight_buffer_bytes
        self.loads = [p.loads for p in passes]
        self.loading, self.owed = 0, 0
        self.input, self.weights, self.others = self.loads[0]  # bytes that the pass being loaded lacks

    def wait(self, number: int) -> int:
        """Until all is there that pass `number` needs."""
        if self.loading > number:
            return 0
        cycles = ceil(self.input + self.weights + self.others + self.owed, self.rate)
        self.advance(cycles, 0, (0, 0))
        return cycles

    def advance(self, cycles: int, written: int, freed: tuple[int, int]) -> None:
        """`cycles` in which so many bytes are written, and so many of (input, weights) come free."""
        self.input_room += freed[0]
        self.weight_room += freed[1]
        budget = cycles * self.rate - written - self.owed
        self.owed = max(0, -budget)
        while budget > 0 and self.loading < len(self.loads):
            data = min(budget, self.input, self.input_room)
            budget -= data
            weights = min(budget, self.weights, self.weight_room)
            budget -= weights
            others = min(budget, self.others)
            budget -= others
            self.input -= data
            self.weights -= weights
            self.others -= others
            self.input_room -= data
            self.weight_room -= weights
            if self.input or self.weights or self.others:
                return
            self.loading += 1
            if self.loading < len(self.loads):
                self.input, self.weights, self.others = self.loads[self.loading]
