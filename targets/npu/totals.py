"""A job's sums over its tiles and over its chunks: all that the least of its time takes, cheap for searches over both."""

from __future__ import annotations

from typing import NamedTuple

from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.passes import by_chunk, ceil, chunks, tiles
from nnc_tvm.targets.npu.windowed import Conv, Pool


class TileTotals(NamedTuple):
    """Of all tiles: their number, turns of the array and rows of the input; rows of the first one alone."""

    number: int
    turns: int
    rows: int
    first_rows: int


class ChunkTotals(NamedTuple):
    """Of all chunks, and slices of them: their number, steps, channels of the input, bytes of weights and what comes with them; the first one's alone."""

    number: int
    work: int
    inputs: int
    data: int
    first_inputs: int
    first_data: int


class Totals(NamedTuple):
    """Of a job. array: its cycles. overhead: cycles of fills and of the job. bytes: through the SRAM's port. first: of them before the first pass."""

    array: int
    overhead: int
    bytes: int
    first: int

    def least_cycles(self, config: Config) -> int:
        """What the job's time does not go below."""
        rate = config.compute_bytes_per_cycle
        return max(ceil(self.first, rate) + self.array + self.overhead, ceil(self.bytes, rate) + config.job_cycles)


def tile_totals(job: Conv | Pool, config: Config, rows: int | None = None) -> TileTotals:
    """Of tiles of so many `rows` (None: the job's)."""
    some = tiles(job, config, rows)
    return TileTotals(len(some), sum(tile.turns for tile in some), sum(tile.rows for tile in some), some[0].rows)


def chunk_totals(job: Conv | Pool, config: Config, chunk: int | None = None) -> ChunkTotals:
    """Of so many channels a `chunk` (None: the job's)."""
    parts = chunks(job, config, chunk)
    return ChunkTotals(len(parts), sum(part.work for part in parts), sum(part.inputs for part in parts), sum(part.weights + part.others for part in parts),
                       parts[0].inputs, parts[0].weights + parts[0].others)


def totals(job: Conv | Pool, config: Config) -> Totals:
    return join(job, tile_totals(job, config), chunk_totals(job, config), isinstance(job, Conv) and job.chunks_outer, config)


def join(job: Conv | Pool, tiles: TileTotals, chunks: ChunkTotals, outer: bool, config: Config) -> Totals:
    """Of `job` with those tiles and chunks, chunks outermost where `outer`, whatever its own are."""
    again = by_chunk(job) or job.slice or (outer and tiles.number > 1)  # each chunk's input
    width = job.source.width
    data = tiles.rows * width * (chunks.inputs if again else job.source.channels)
    weights = chunks.data * (tiles.number if not outer and chunks.number > 1 else 1)
    return Totals(tiles.turns * chunks.work, config.fill_cycles * tiles.number * chunks.number + config.job_cycles,
                  data + weights + job.moved * job.output.elements, tiles.first_rows * width * chunks.first_inputs + chunks.first_data)
