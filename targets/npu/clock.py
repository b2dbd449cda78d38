"""How long the NNC-1 takes: docs/npu.md, "Clock". The emulator computes the same in C."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nnc_tvm.targets.npu.commands import HEADER_WORDS, PARAMETER_BYTES, TABLE_BYTES, Add, Command, Conv, Dma, Image, Job, Lut, Mul, Pool, Softmax, Window
from nnc_tvm.targets.npu.config import DEPTH, Config


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


def buffer_line(job: Conv, channels: int) -> int:
    """Bytes of the input buffer that so many channels of an input row take; where they do not fill the depth, the windows' rows lie side by side."""
    if channels % DEPTH == 0:
        return job.source.width * channels
    return job.output.width * DEPTH * ceil(job.window.kernel[1] * channels, DEPTH)


@functools.lru_cache(1 << 10)
def _sum_of_groups(blocks: tuple[int, ...], least: tuple[int, ...]) -> int:
    """least: of the blocks of each slice."""
    return sum(max(n, floor) for number, floor in enumerate(least) for n in blocks[number::len(least)])


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
            return _streamed(3 * job.output.elements, ceil(config.sum_scalings * job.output.elements, config.requantize_lanes), config)
        case Mul():
            n = job.output.elements
            return _streamed(2 * n + job.b.elements, ceil(n, config.requantize_lanes), config)
        case Lut():
            return _streamed(2 * job.output.elements + TABLE_BYTES, ceil(job.output.elements, config.requantize_lanes), config)
        case Softmax():
            return _streamed(4 * job.output.elements, job.output.height * job.output.width * (16 * job.output.channels + 64), config)


def _streamed(moved: int, array: int, config: Config) -> Cost:
    return Cost(max(array, ceil(moved, config.compute_bytes_per_cycle)) + config.job_cycles, array, moved, 0)


def _conv(job: Conv, config: Config) -> Cost:
    rows = input_rows(job.window, job.source.height, job.output.height, job.tile_rows)
    chunks = ceil(job.output.channels, job.chunk)
    array = sum(count * ceil(n, config.pixels) for count, n in _tile_pixels(job.output, job.tile_rows)) * _array_steps(job, config)
    line = job.source.width * job.source.channels
    slices = (job.source.channels,) if job.depthwise else job.slices
    again = chunks if len(slices) > 1 or (job.chunks_outer and len(rows) > 1 and not job.depthwise) else 1
    weights = job.weight_bytes + PARAMETER_BYTES * job.output.channels
    reloads = len(rows) if not job.chunks_outer and chunks * len(slices) > 1 else 1
    moved = sum(rows) * line * again + weights * reloads + job.output.elements * (1 if job.residual is None else 2)
    chunk = min(job.chunk, job.output.channels)
    first_input = rows[0] * job.source.width * (chunk if job.depthwise else slices[0])
    first_weights = job.mask_bytes + job.block_bytes * sum(job.blocks[:ceil(chunk, job.group) * len(slices):len(slices)]) + PARAMETER_BYTES * chunk
    return _tiled(array, moved, first_input + first_weights, len(rows) * chunks * len(slices), config)


def group_steps(job: Conv, config: Config, slice_: int = 0) -> list[int]:
    """Cycles of the array on each of its groups of channels, for one block of pixels and one slice of the input channels."""
    least, slices = _least_steps(job, config), len(job.slices)
    return [max(n, least[slice_]) for n in (job.blocks[slice_::slices] if config.skips_zeros
                                            else [_dense_steps(job, job.slices[slice_], config)] * _array_groups(job, config))]


def _array_steps(job: Conv, config: Config) -> int:
    """Their sum, of all slices."""
    least = _least_steps(job, config)
    if config.skips_zeros:
        return _sum_of_groups(job.blocks, least)
    return _array_groups(job, config) * sum(max(_dense_steps(job, channels, config), n) for channels, n in zip(job.slices, least, strict=True))


def _least_steps(job: Conv, config: Config) -> tuple[int, ...]:
    """Steps that a group takes at least in each slice: changing its accumulators, and in the last its requantization."""
    scalings = 1 if job.residual is None else 1 + config.sum_scalings
    last = ceil(config.pixels * config.array_channels * (2 if job.int4 else 1) * scalings, config.requantize_lanes)
    return (*(config.swap_cycles for _ in job.slices[1:]), last)


def _dense_steps(job: Conv, channels: int, config: Config) -> int:
    """Of a group and so many input channels, nothing skipped."""
    kh, kw = job.window.kernel
    if job.depthwise:
        return ceil(kh * kw, config.depthwise_taps) * config.depthwise_taps
    return kh * (ceil(kw * channels, config.array_depth) if config.packs_rows else kw * ceil(channels, config.array_depth))


def _array_groups(job: Conv | Pool, config: Config) -> int:
    """Groups of the array's channels in all chunks."""
    return sum(ceil(min(job.chunk, job.output.channels - at), config.array_channels) for at in range(0, job.output.channels, job.chunk))


def _pool(job: Pool, config: Config) -> Cost:
    rows = input_rows(job.window, job.source.height, job.output.height, job.tile_rows)
    taps = job.window.kernel[0] * job.window.kernel[1]
    steps = ((count, max(ceil(n * taps, config.pixels), ceil(n * config.array_channels, config.requantize_lanes)))
             for count, n in _tile_pixels(job.output, job.tile_rows))
    array = sum(count * cycles for count, cycles in steps) * _array_groups(job, config)
    moved = sum(rows) * job.source.width * job.source.channels + job.output.elements
    chunk = min(job.chunk, job.output.channels)
    return _tiled(array, moved, rows[0] * job.source.width * chunk, len(rows) * ceil(job.output.channels, job.chunk), config)


def _tiled(array: int, moved: int, first: int, fills: int, config: Config) -> Cost:
    prologue = ceil(first, config.compute_bytes_per_cycle)
    body = max(array, ceil(moved, config.compute_bytes_per_cycle) - prologue)
    return Cost(body + prologue + config.fill_cycles * fills + config.job_cycles, array, moved, prologue)


def dma_cycles(dma: Dma, config: Config) -> int:
    read = ceil(dma.coded * (config.coded_percent if dma.rice else 100), 100 * config.flash_bytes_per_cycle)
    return max(read, ceil(dma.bytes, config.codec_symbols_per_cycle) if dma.rice else 0)


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
