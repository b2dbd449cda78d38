"""The tiles and chunks of a job: the fastest by the clock of those that fit the private buffers."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

from nnc_tvm.targets.npu.clock import job_cost, least_cycles
from nnc_tvm.targets.npu.commands import Conv, Pool
from nnc_tvm.targets.npu.config import CHANNELS, Config
from nnc_tvm.targets.npu.operands import Window
from nnc_tvm.targets.npu.passes import buffer_line, ceil, input_rows

Tiled = TypeVar("Tiled", Conv, Pool)

ACCUMULATOR_BYTES = 4
MOST_TILE_ROWS = 1024  # the field of the command


def best_tiling(job: Tiled, config: Config, in_place: bool = False) -> Tiled | None:
    """`job` with the tile and chunk of the fewest cycles; None where not even one row and four channels fit.

    in_place: only those whose output may lie exactly on the input, see `overwrites`.
    """
    fitting = [candidate for candidate in _candidates(job) if fits(candidate, config) and (not in_place or overwrites(candidate))]
    best, fewest = None, 0
    for least, candidate in sorted(((least_cycles(c, config), c) for c in fitting), key=lambda pair: pair[0]):
        if best is not None and least >= fewest:
            break
        cycles = job_cost(candidate, config).cycles
        if best is None or cycles < fewest:
            best, fewest = candidate, cycles
    return best


def overwrites(job: Conv | Pool) -> bool:
    """Whether the output may lie exactly on the input: no tile reads what another has written, in images of one shape and pitch."""
    shapes = [(image.height, image.width, image.channels, image.row) for image in (job.source, job.output)]
    if isinstance(job, Pool) or job.chunks_outer or job.slice or shapes[0] != shapes[1]:
        return False
    return (job.depthwise and job.tile_rows >= job.output.height) or (job.window == Window() and not job.depthwise)


def fits(job: Conv | Pool, config: Config) -> bool:
    """Whether every tile's input, every chunk's weights and with slices a tile's accumulators fit their buffers."""
    if _input_bytes(job) > config.input_buffer_bytes:
        return False
    return isinstance(job, Pool) or (_weight_bytes(job) <= config.weight_buffer_bytes and _accumulator_bytes(job) <= config.accumulator_bytes)


def _candidates(job: Tiled) -> Iterator[Tiled]:
    unit = job.group if isinstance(job, Conv) else CHANNELS
    channels = ceil(job.output.channels, unit) * unit
    for rows in _steps(job.output.height, 1):
        for chunk in _steps(channels, unit):
            if rows <= MOST_TILE_ROWS:
                yield from _orders(replace(job, tile_rows=rows, chunk=chunk))


def _orders(job: Tiled) -> list[Tiled]:
    """`job`, and with its chunks outermost where that differs."""
    if isinstance(job, Pool) or job.depthwise or job.slice or job.tile_rows >= job.output.height or job.chunk >= job.output.channels:
        return [job]
    return [job, replace(job, chunks_outer=True)]


def _steps(extent: int, unit: int) -> list[int]:
    """Multiples of `unit` that cut `extent` into pieces of about equal size."""
    most = ceil(extent, unit)
    counts = {1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 256, 512, 1024, most}
    return sorted({unit * ceil(most, count) for count in counts if count <= most})


def _input_bytes(job: Conv | Pool) -> int:
    """Of the largest tile."""
    rows = max(input_rows(job.window, job.source.height, job.output.height, job.tile_rows))
    if isinstance(job, Pool) or job.depthwise:
        return rows * job.source.width * min(job.chunk, job.source.channels)
    return rows * max(buffer_line(job, channels) for channels in job.slices)


def _weight_bytes(job: Conv) -> int:
    """Of the largest slice of a chunk."""
    slices = len(job.slices) if job.slice else 1
    return max(_most_blocks(job.blocks[number::slices], ceil(job.chunk, job.group)) for number in range(slices)) * job.block_bytes


def _accumulator_bytes(job: Conv) -> int:
    """Of the largest tile and chunk, int32 each; 0 where they are finished at once."""
    channels = min(job.chunk, ceil(job.output.channels, job.group) * job.group)
    return min(job.tile_rows, job.output.height) * job.output.width * channels * ACCUMULATOR_BYTES if job.slice else 0


@functools.lru_cache(1 << 12)
def _most_blocks(blocks: tuple[int, ...], groups: int) -> int:
    """Of `groups` groups of channels that follow each other. Remembered: a search over tilings asks for the same again and again."""
    return max(sum(blocks[at:at + groups]) for at in range(0, len(blocks), groups))
