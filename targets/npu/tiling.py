"""The tiles and chunks of a job: the fastest by the clock of those that fit the private buffers."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from nnc_tvm.targets.npu.chasing import extent
from nnc_tvm.targets.npu.clock import job_cost
from nnc_tvm.targets.npu.config import CHANNELS, Config
from nnc_tvm.targets.npu.operands import Window
from nnc_tvm.targets.npu.passes import buffer_line, by_chunk, ceil, input_rows
from nnc_tvm.targets.npu.totals import ChunkTotals, chunk_totals, join, tile_totals
from nnc_tvm.targets.npu.windowed import Conv, Pool, anywhere

ACCUMULATOR_BYTES = 4
MOST_TILE_ROWS = 1024  # the field of the command


class Tiling(NamedTuple):
    """Rows of a tile, output channels of a chunk, and whether chunks are outermost."""

    rows: int
    chunk: int
    outer: bool

    def of(self, job: Conv | Pool) -> Conv | Pool:
        """`job` by this tiling."""
        if isinstance(job, Conv):
            return replace(job, tile_rows=self.rows, chunk=self.chunk, chunks_outer=self.outer)
        return replace(job, tile_rows=self.rows, chunk=self.chunk)


class Part(NamedTuple):
    """A chunk's channels, and bytes that it needs: of the input buffer for a row of the input, of the accumulators for a pixel."""

    chunk: int
    line: int
    pixel: int
    totals: ChunkTotals


def best_tiling(job: Conv | Pool, config: Config, in_place: bool = False, reach: int | None = None) -> Tiling | None:
    """The tile and chunk of the fewest cycles for `job`; None where not even one row and four channels fit.

    in_place: only those whose output may lie exactly on the input, see `overwrites`. reach: only those where input and output may take no more bytes together.
    """
    return _best_tiling(job if in_place or reach is not None else anywhere(job), config, in_place, reach)  # pitches say what lies over what


@functools.lru_cache(1 << 14)  # pieces of one layer are often alike
def _best_tiling(job: Conv | Pool, config: Config, in_place: bool, reach: int | None) -> Tiling | None:
    best, fewest = None, 0
    for least, tiling in sorted(_fitting(job, config)):
        if best is not None and least >= fewest:
            break
        candidate = tiling.of(job)
        if (in_place and not overwrites(candidate)) or (reach is not None and extent(candidate) > reach):
            continue
        cycles = job_cost(candidate, config).cycles
        if best is None or cycles < fewest:
            best, fewest = tiling, cycles
    return best


def reaches(job: Conv | Pool, config: Config) -> list[int]:
    """The bytes that input and output may take together by one tiling or another, the fewest first."""
    kinds = {(tiling.rows, tiling.outer, tiling.chunk < job.output.channels): tiling for _, tiling in _fitting(job, config)}
    return sorted({extent(tiling.of(job)) for tiling in kinds.values()})


def overwrites(job: Conv | Pool) -> bool:
    """Whether the output may lie exactly on the input: no tile reads what another has written, in images of one shape and pitch."""
    shapes = [(image.height, image.width, image.channels, image.row) for image in (job.source, job.output)]
    if isinstance(job, Pool) or job.chunks_outer or job.slice or shapes[0] != shapes[1]:
        return False
    return (job.depthwise and job.tile_rows >= job.output.height) or (job.window == Window() and not job.depthwise)


def _fitting(job: Conv | Pool, config: Config) -> Iterator[tuple[int, Tiling]]:
    """Tilings whose every tile's input, every chunk's weights and with slices a tile's accumulators fit their buffers, and the least that they take."""
    tiles = [(rows, max(input_rows(job.window, job.source.height, job.output.height, rows)), tile_totals(job, config, rows))
             for rows in _steps(job.output.height, 1) if rows <= MOST_TILE_ROWS]
    for chunk, line, pixel, parts in _parts(_in_one_row(job), config):
        for rows, lines, some in tiles:
            if lines * line <= config.input_buffer_bytes and min(rows, job.output.height) * job.output.width * pixel <= config.accumulator_bytes:
                for outer in (False, True) if _ordered(job, rows, chunk) else (False,):
                    yield join(job, some, parts, outer, config).least_cycles(config), Tiling(rows, chunk, outer)


def _in_one_row(job: Conv | Pool) -> Conv | Pool:
    """`job` without what its chunks do not depend on."""
    source, output = (replace(image, height=1) for image in (job.source, job.output))
    return replace(job, source=source, output=output, window=replace(job.window, padding=(0, 0)))


@functools.lru_cache(1 << 10)  # stripes of one layer have the same
def _parts(job: Conv | Pool, config: Config) -> list[Part]:
    """Chunks whose weights fit their buffer."""
    unit = job.group if isinstance(job, Conv) else CHANNELS
    return [Part(chunk, _line_bytes(job, chunk), _accumulator_bytes(job, chunk), chunk_totals(job, config, chunk))
            for chunk in _steps(ceil(job.output.channels, unit) * unit, unit)
            if not isinstance(job, Conv) or _weight_bytes(job, chunk) <= config.weight_buffer_bytes]


def _ordered(job: Conv | Pool, rows: int, chunk: int) -> bool:
    """Whether it matters which is outermost, tiles or chunks."""
    return isinstance(job, Conv) and not job.depthwise and not job.slice and rows < job.output.height and chunk < job.output.channels


def _steps(extent: int, unit: int) -> list[int]:
    """Multiples of `unit` that cut `extent` into pieces of about equal size."""
    most = ceil(extent, unit)
    counts = {1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 256, 512, 1024, most}
    return sorted({unit * ceil(most, count) for count in counts if count <= most})


def _line_bytes(job: Conv | Pool, chunk: int) -> int:
    """Of the input buffer, for a row of the input."""
    if by_chunk(job):
        return job.source.width * min(chunk, job.source.channels)
    assert isinstance(job, Conv)
    return max(buffer_line(job, channels) for channels in job.slices)


def _weight_bytes(job: Conv, chunk: int) -> int:
    """Of the largest slice of a chunk."""
    slices = len(job.slices) if job.slice else 1
    return max(_most_blocks(job.blocks[number::slices], ceil(chunk, job.group)) for number in range(slices)) * job.block_bytes


def _accumulator_bytes(job: Conv | Pool, chunk: int) -> int:
    """Of an output pixel's chunk, int32 each; 0 where they are finished at once."""
    return min(chunk, ceil(job.output.channels, job.group) * job.group) * ACCUMULATOR_BYTES if isinstance(job, Conv) and job.slice else 0


@functools.lru_cache(1 << 12)
def _most_blocks(blocks: tuple[int, ...], groups: int) -> int:
    """Of `groups` groups of channels that follow each other. Remembered: a search over tilings asks for the same again and again."""
    return max(sum(blocks[at:at + groups]) for at in range(0, len(blocks), groups))
