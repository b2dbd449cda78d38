"""How long the NNC-1 takes: docs/npu.md, "Clock". The emulator computes the same in C."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from nnc_tvm.targets.npu.commands import HEADER_WORDS, Command, Job
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.passes import ceil, passes
from nnc_tvm.targets.npu.pixelwise import TABLE_BYTES, Add, Lut, Mul, Softmax
from nnc_tvm.targets.npu.port import waits
from nnc_tvm.targets.npu.totals import totals
from nnc_tvm.targets.npu.transfers import Dma, Transfer
from nnc_tvm.targets.npu.windowed import Conv, Pool, anywhere


@dataclass(frozen=True)
class Cost:
    """Of a job. cycles: in all. array: of the array alone. bytes: through the SRAM's port. prologue: cycles before the array can begin.
    stall: cycles that the array waits for the port after that."""

    cycles: int
    array: int
    bytes: int
    prologue: int
    stall: int


@dataclass(frozen=True)
class Span:
    """A command in time: when its lane (DMA or array) begins and ends it."""

    start: int
    end: int


def job_cost(job: Job, config: Config) -> Cost:
    match job:
        case Conv() | Pool():
            return _tiled(anywhere(job), config.array)
        case Add():
            return _streamed(3 * job.output.elements, ceil(config.sum_scalings * job.output.elements, config.requantize_lanes), config)
        case Mul():
            n = job.output.elements
            return _streamed(2 * n + job.b.elements, ceil(n, config.requantize_lanes), config)
        case Lut():
            return _streamed(2 * job.output.elements + TABLE_BYTES, ceil(job.output.elements, config.requantize_lanes), config)
        case Softmax():
            return _streamed(4 * job.output.elements, job.output.height * job.output.width * (16 * job.output.channels + 64), config)


def _streamed(moved: int, array: int, config: Config) -> Cost:
    stall = max(0, ceil(moved, config.compute_bytes_per_cycle) - array)
    return Cost(array + stall + config.job_cycles, array, moved, 0, stall)


@lru_cache(1 << 14)
def _tiled(job: Conv | Pool, config: Config) -> Cost:
    """Remembered: cascades are many jobs of few shapes."""
    prologue, *stalls = waits(job, list(passes(job, config)), config)
    sums = totals(job, config)
    return Cost(sums.array + prologue + sum(stalls) + sums.overhead, sums.array, sums.bytes, prologue, sum(stalls))


def transfer_cycles(transfer: Transfer, config: Config) -> int:
    if not isinstance(transfer, Dma):
        return ceil(transfer.bytes, config.host_bytes_per_cycle)
    read = ceil(transfer.coded * (config.coded_percent if transfer.rice else 100), 100 * config.flash_bytes_per_cycle)
    return max(read, ceil(transfer.bytes, config.codec_symbols_per_cycle) if transfer.rice else 0)


def timeline(commands: Sequence[Command], config: Config) -> tuple[list[Span], int]:
    """When each command runs, and how long the whole run takes."""
    dma, array = 4 * HEADER_WORDS, 0
    spans: list[Span] = []
    jobs: list[int] = []
    transfers: list[int] = []
    for command in commands:
        if isinstance(command, Transfer):
            dma += 4 * len(command.words())
            start = max(dma, jobs[command.after - 1] if command.after else 0)
            dma = start + transfer_cycles(command, config)
            transfers.append(dma)
        else:
            if len(jobs) >= config.queue_depth:
                dma = max(dma, jobs[-config.queue_depth])
            dma += 4 * len(command.words())
            start = max(array, dma, transfers[command.wait - 1] if command.wait else 0)
            array = start + job_cost(command, config).cycles
            jobs.append(array)
        spans.append(Span(start, dma if isinstance(command, Transfer) else array))
    return spans, max(array, dma + 4)  # END is fetched too
