"""How long the NNC-1 takes: docs/npu.md, "Clock". The emulator computes the same in C."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nnc_tvm.targets.npu.commands import HEADER_WORDS, PARAMETER_BYTES, TABLE_BYTES, Add, Command, Conv, Dma, Image, Job, Lut, Pool, Softmax, Window
from nnc_tvm.targets.npu.config import CHANNELS, Config


@dataclass(frozen=True)
class Cost:
    """Of a job. cycles: in all. array: of the array alone. bytes: through the SRAM's port. prologue: cycles before the array can begin."""

    cycles: int
    array: int
    bytes: int
    prologue: int


@dataclass(frozen=True)
class Span:
    """A command in time: when its lane (DMA or array) begins and ends it."""

    start: int
    end: int


def touched_rows(window: Window, source: Image, first: int, last: int) -> int:
    """How many input rows the windows of output rows first ... last - 1 touch inside the image."""
    if window.dilation[0] == 1 and window.kernel[0] >= window.strides[0]:  # no gaps
        low, high = first * window.strides[0] - window.padding[0], (last - 1) * window.strides[0] - window.padding[0] + window.kernel[0]
        return max(0, min(high, source.height) - max(low, 0))
    rows = (y * window.strides[0] - window.padding[0] + i * window.dilation[0] for y in range(first, last) for i in range(window.kernel[0]))
    return len({row for row in rows if 0 <= row < source.height})


def tiles(height: int, rows: int) -> Iterator[tuple[int, int]]:
    """(first, end) of each tile's output rows."""
    return ((first, min(first + rows, height)) for first in range(0, height, rows))


def ceil(a: int, b: int) -> int:
    return -(-a // b)


@functools.lru_cache(1 << 14)
def input_rows(window: Window, source_height: int, output_height: int, rows: int) -> tuple[int, ...]:
    """How many input rows each tile of `rows` output rows touches. Remembered: a search over tilings asks for the same again and again."""
    source = Image.dense(0, source_height, 1, 1)
    return tuple(touched_rows(window, source, *span) for span in tiles(output_height, rows))


@functools.lru_cache(1 << 10)
def _group_steps(blocks: tuple[int, ...], least: int) -> int:
    return sum(max(n, least) for n in blocks)


def _tile_pixels(output: Image, rows: int) -> Iterator[tuple[int, int]]:
    """(how many tiles, output pixels of each): whole ones and the rest."""
    whole, rest = divmod(output.height, rows)
    yield whole, rows * output.width
    yield 1, rest * output.width


def job_cost(job: Job, config: Config) -> Cost:
    match job:
        case Conv():
            return _conv(job, config)
        case Pool():
            return _pool(job, config)
        case Add():
            return _streamed(3 * job.output.elements, ceil(3 * job.output.elements, config.requantize_lanes), config)
        case Lut():
            return _streamed(2 * job.output.elements + TABLE_BYTES, ceil(job.output.elements, config.requantize_lanes), config)
        case Softmax():
            return _streamed(4 * job.output.elements, job.output.height * job.output.width * (16 * job.output.channels + 64), config)


def _streamed(moved: int, array: int, config: Config) -> Cost:
    return Cost(max(array, ceil(moved, config.compute_bytes_per_cycle)) + config.job_cycles, array, moved, 0)


def _conv(job: Conv, config: Config) -> Cost:
    rows = input_rows(job.window, job.source.height, job.output.height, job.tile_rows)
    chunks = ceil(job.output.channels, job.chunk)
    least = ceil(config.pixels * CHANNELS * (1 if job.residual is None else 4), config.requantize_lanes)
    array = sum(count * ceil(n, config.pixels) for count, n in _tile_pixels(job.output, job.tile_rows)) * _group_steps(job.blocks, least)
    line = job.source.width * job.source.channels
    again = chunks if job.chunks_outer and len(rows) > 1 and not job.depthwise else 1
    weights = job.weight_bytes + PARAMETER_BYTES * job.output.channels
    reloads = len(rows) if not job.chunks_outer and chunks > 1 else 1
    moved = sum(rows) * line * again + weights * reloads + job.output.elements * (1 if job.residual is None else 2)
    chunk = min(job.chunk, job.output.channels)
    first_input = rows[0] * (job.source.width * chunk if job.depthwise else line)
    first_weights = job.mask_bytes + job.block_bytes * sum(job.blocks[:ceil(chunk, CHANNELS)]) + PARAMETER_BYTES * chunk
    return _tiled(array, moved, first_input + first_weights, len(rows) * chunks, config)


def _pool(job: Pool, config: Config) -> Cost:
    rows = input_rows(job.window, job.source.height, job.output.height, job.tile_rows)
    taps = job.window.kernel[0] * job.window.kernel[1]
    array = sum(count * max(ceil(n * taps, config.pixels), n) for count, n in _tile_pixels(job.output, job.tile_rows)) * ceil(job.output.channels, CHANNELS)
    moved = sum(rows) * job.source.width * job.source.channels + job.output.elements
    chunk = min(job.chunk, job.output.channels)
    return _tiled(array, moved, rows[0] * job.source.width * chunk, len(rows) * ceil(job.output.channels, job.chunk), config)


def _tiled(array: int, moved: int, first: int, fills: int, config: Config) -> Cost:
    prologue = ceil(first, config.compute_bytes_per_cycle)
    body = max(array, ceil(moved, config.compute_bytes_per_cycle) - prologue)
    return Cost(body + prologue + config.fill_cycles * fills + config.job_cycles, array, moved, prologue)


def dma_cycles(dma: Dma, config: Config) -> int:
    return max(ceil(dma.coded, config.flash_bytes_per_cycle), ceil(dma.bytes, config.codec_symbols_per_cycle) if dma.rice else 0)


def timeline(commands: Sequence[Command], config: Config) -> tuple[list[Span], int]:
    """When each command runs, and how long the whole run takes."""
    flash, array = 4 * HEADER_WORDS, 0
    spans: list[Span] = []
    jobs: list[int] = []
    dmas: list[int] = []
    for command in commands:
        if isinstance(command, Dma):
            flash += 4 * len(command.words())
            start = max(flash, jobs[command.after - 1] if command.after else 0)
            flash = start + dma_cycles(command, config)
            dmas.append(flash)
        else:
            if len(jobs) >= config.queue_depth:
                flash = max(flash, jobs[-config.queue_depth])
            flash += 4 * len(command.words())
            start = max(array, flash, dmas[command.wait - 1] if command.wait else 0)
            array = start + job_cost(command, config).cycles
            jobs.append(array)
        spans.append(Span(start, dmas[-1] if isinstance(command, Dma) else array))
    return spans, max(array, flash + 4)  # END is fetched too
