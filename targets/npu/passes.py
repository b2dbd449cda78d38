"""The passes of a CONV, DWCONV or POOL: what the array does between two fills of its buffers. docs/npu.md, "Clock"."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from nnc_tvm.targets.npu.config import DEPTH, Config
from nnc_tvm.targets.npu.operands import Window
from nnc_tvm.targets.npu.windowed import PARAMETER_BYTES, Conv, Pool


def ceil(a: int, b: int) -> int:
    return -(-a // b)


@dataclass(frozen=True)
class Tile:
    """Rows of the output. pixels: its output positions. rows: of the input, as many as they touch. turns: of the array on each step of a chunk.

    blocks: of as many output positions as the array has side by side; last: turns of the last of them.
    """

    pixels: int
    rows: int
    turns: int
    blocks: int
    last: int


@dataclass(frozen=True)
class Chunk:
    """Channels of the output; where the input is taken in slices, one of those. inputs: channels of the input that it needs. outputs: channels that are
    written after it, none before the last slice. weights: bytes in the weight buffer. others: bytes that come with them, of parameters and masks.

    steps, widths: cycles of the array's turn on each of its groups of channels, and how many channels of each are written.
    """

    inputs: int
    outputs: int
    weights: int
    others: int
    steps: tuple[int, ...]
    widths: tuple[int, ...]

    @functools.cached_property
    def work(self) -> int:
        """Steps of a turn."""
        return sum(self.steps)


class Pass(NamedTuple):
    """A tile's chunk. loads: bytes that must come before it, of (input, weights, parameters and masks); the last take no room of the buffers.
    frees: bytes of (input, weights) that nothing needs after it."""

    tile: Tile
    chunk: Chunk
    loads: tuple[int, int, int]
    frees: tuple[int, int]


def touched_rows(window: Window, source_height: int, first: int, last: int) -> int:
    """How many input rows the windows of output rows first ... last - 1 touch inside the image."""
    if window.dilation[0] == 1 and window.kernel[0] >= window.strides[0]:  # no gaps
        low, high = first * window.strides[0] - window.padding[0], (last - 1) * window.strides[0] - window.padding[0] + window.kernel[0]
        return max(0, min(high, source_height) - max(low, 0))
    rows = (y * window.strides[0] - window.padding[0] + i * window.dilation[0] for y in range(first, last) for i in range(window.kernel[0]))
    return len({row for row in rows if 0 <= row < source_height})


@functools.lru_cache(1 << 14)
def input_rows(window: Window, source_height: int, output_height: int, rows: int) -> tuple[int, ...]:
    """How many input rows each tile of `rows` output rows touches. Remembered: a search over tilings asks for the same again and again."""
    return tuple(touched_rows(window, source_height, first, min(first + rows, output_height)) for first in range(0, output_height, rows))


def buffer_line(job: Conv, channels: int) -> int:
    """Bytes of the input buffer that so many channels of an input row take; where they do not fill the depth, the windows' rows lie side by side."""
    if channels % DEPTH == 0:
        return job.source.width * channels
    return job.output.width * DEPTH * ceil(job.window.kernel[1] * channels, DEPTH)


def input_room(job: Conv | Pool, config: Config) -> int:
    """The most bytes of the image that the input buffer holds."""
    if isinstance(job, Pool) or job.depthwise:
        return config.input_buffer_bytes
    return max(config.input_buffer_bytes * job.source.width * channels // buffer_line(job, channels) for channels in job.slices)


def by_chunk(job: Conv | Pool) -> bool:
    """Whether a pass needs its chunk's channels of the input alone, and not all of them."""
    return isinstance(job, Pool) or job.depthwise


def passes(job: Conv | Pool, config: Config) -> Iterator[Pass]:
    """In the order of the array. What a pass needs is loaded before it unless the pass before needed it too, and given up after it unless the next does."""
    some, parts = tiles(job, config), chunks(job, config)
    own = by_chunk(job) or job.slice > 0
    if isinstance(job, Conv) and job.chunks_outer:
        again = own or len(some) > 1
        for c, chunk in enumerate(parts):
            for t, tile in enumerate(some):
                yield _pass(job, tile, chunk, (again or c == 0, t == 0), (again or c == len(parts) - 1, t == len(some) - 1))
        return
    again = len(parts) > 1
    for t, tile in enumerate(some):
        for c, chunk in enumerate(parts):
            yield _pass(job, tile, chunk, (own or c == 0, again or t == 0), (own or c == len(parts) - 1, again or t == len(some) - 1))


def _pass(job: Conv | Pool, tile: Tile, chunk: Chunk, new: tuple[bool, bool], last: tuple[bool, bool]) -> Pass:
    """new, last: whether the pass is the first in a row, and the last, that needs its (input, weights)."""
    data = tile.rows * job.source.width * chunk.inputs
    return Pass(tile, chunk, (data * new[0], chunk.weights * new[1], chunk.others * new[1]), (data * last[0], chunk.weights * last[1]))


def tiles(job: Conv | Pool, config: Config, rows: int | None = None) -> tuple[Tile, ...]:
    """In the order of the array, of so many `rows` (None: the job's)."""
    found = _tiles(job.window, job.source.height, job.output.height, job.output.width, rows or job.tile_rows, _taps(job), config)
    return found[::-1] if job.upward else found


@functools.lru_cache(1 << 14)
def _tiles(window: Window, source_height: int, height: int, width: int, rows: int, taps: int, config: Config) -> tuple[Tile, ...]:
    """From the top. Remembered: a search over tilings asks for the same again and again."""
    pixels = [min(rows, height - first) * width for first in range(0, height, rows)]
    return tuple(Tile(n, count, _turns(n, taps, config), ceil(n, config.pixels), _turns((n - 1) % config.pixels + 1, taps, config))
                 for n, count in zip(pixels, input_rows(window, source_height, height, rows), strict=True))


def turns(job: Conv | Pool, pixels: int, config: Config) -> int:
    """How often the array does a chunk's steps for so many output positions: once for as many as it has side by side. The taps of a pool's window spread
    over all its lanes, and take no less than the results' requantization."""
    return _turns(pixels, _taps(job), config)


def _taps(job: Conv | Pool) -> int:
    """Of a pool's window; 0 of a convolution, whose taps are steps."""
    return job.window.kernel[0] * job.window.kernel[1] if isinstance(job, Pool) else 0


def _turns(pixels: int, taps: int, config: Config) -> int:
    if not taps:
        return ceil(pixels, config.pixels)
    return max(ceil(pixels * taps, config.pixels), ceil(pixels * config.array_channels, config.requantize_lanes))


def chunks(job: Conv | Pool, config: Config, chunk: int | None = None) -> tuple[Chunk, ...]:
    """From the first channel, slice by slice, of so many channels a `chunk` (None: the job's)."""
    if isinstance(job, Pool):
        return _pool_chunks(job.output.channels, chunk or job.chunk, config.array_channels)
    return _conv_chunks(job.output.channels, chunk or job.chunk, job.group, job.blocks, job.block_bytes, job.mask_bytes, () if job.depthwise else job.slices,
                        tuple(_dense_steps(job, channels, config) for channels in job.slices), _least_steps(job, config), config)


@functools.lru_cache(1 << 10)
def _pool_chunks(channels: int, chunk: int, width: int) -> tuple[Chunk, ...]:
    counts = [min(chunk, channels - at) for at in range(0, channels, chunk)]
    return tuple(Chunk(n, n, 0, 0, (1,) * ceil(n, width), _widths(n, width)) for n in counts)


@functools.lru_cache(1 << 12)
def _conv_chunks(channels: int, chunk: int, group: int, blocks: tuple[int, ...], block_bytes: int, mask_bytes: int, slices: tuple[int, ...],
                 dense: tuple[int, ...], least: tuple[int, ...], config: Config) -> tuple[Chunk, ...]:
    """slices: input channels of each, none of a depthwise convolution. dense, least: steps of each. The masks come with the first. Remembered: a search over
    tilings asks for the same again and again."""
    made, width = [], group if config.skips_zeros else config.array_channels
    for at in range(0, channels, chunk):
        count = min(chunk, channels - at)
        for number, (all_, floor) in enumerate(zip(dense, least, strict=True)):
            own, last = blocks[number::len(dense)][at // group:(at + chunk) // group], number == len(dense) - 1
            steps = own if config.skips_zeros else (all_,) * ceil(count, width)
            others = 0 if number else PARAMETER_BYTES * count + (0 if at else mask_bytes)
            made.append(Chunk(slices[number] if slices else count, count if last else 0, block_bytes * sum(own), others,
                              tuple(max(n, floor) for n in steps), _widths(count, width) if last else (0,) * ceil(count, width)))
    return tuple(made)


def _widths(channels: int, width: int) -> tuple[int, ...]:
    return tuple(min(width, channels - at) for at in range(0, channels, width))


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
