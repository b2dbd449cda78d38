"""Lists of single weights in runs whose sums of products fit int16: Armv8.0's smlal multiplies eight bytes at once, and a run is widened but once.

A product of bytes is 128 times its weight at most, so that the magnitudes of a run's weights may add up to 255. Heavy and light weights share runs:
those that are near each other among the planes are dealt out to as many runs as hold them, the heaviest ones first, each to the run that is lightest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from nnc_tvm.schedules.operators.operator import ITEM_BYTES
from nnc_tvm.schedules.rules.contraction_plan import Contraction
from nnc_tvm.schedules.rules.pixel_plan import Planes, planes_of, turning_cost
from nnc_tvm.schedules.rules.pixel_runs_kernel import LANES, PIXELS, pixel_runs_kernel

SPARSE = 0.5  # of the weights at most: longer lists never win
LIMIT = (2**15 - 1) // 128  # of the magnitudes of a run
LONGEST = 8  # runs: their weights wait in registers
WINDOW = 64  # weights that share runs: the planes are passed once for each length
TILES = (16, 32, 48, 64)  # pixels, in 32 registers

# estimated instructions: for every list, and for each vector of bytes besides
ENTRY_COST, ENTRY_VECTOR_COST = 2.75, 3.2
RUN_COST, RUN_VECTOR_COST = 4.5, 3.85
LIST_COST, LIST_VECTOR_COST = 6.5, 22.2
LENGTH_COST = 5.7  # of the loop over runs of a length


@dataclass(frozen=True, eq=False)
class RunPlan:
    """A PixelPlan. lengths: of the runs. first: int32 (lengths, O + 1), the entries at which each channel's runs of a length begin.

    weights, order: of the entries; `order` counts the weights of a channel (C, KH, KW).
    """

    c: Contraction
    planes: Planes
    lengths: tuple[int, ...]
    first: np.ndarray
    weights: np.ndarray
    order: np.ndarray
    depth: int = 1
    x_dtype: str = "int8"
    unsigned: bool = False

    @property
    def name(self) -> str:
        return f"unstructured runs smlal {self.planes.tile_pixels} pixels"

    @property
    def cost(self) -> float:
        vectors, counts = self.planes.tile_pixels // PIXELS, np.diff(self.first).sum(1)
        runs = sum(count / length for count, length in zip(counts, self.lengths, strict=True))
        lists = self.c.out[3] * (LIST_COST + LENGTH_COST * len(self.lengths) + vectors * LIST_VECTOR_COST)
        a_tile = counts.sum() * (ENTRY_COST + vectors * ENTRY_VECTOR_COST) + runs * (RUN_COST + vectors * RUN_VECTOR_COST) + lists
        return float(self.planes.tiles * a_tile) + turning_cost(self.c, self.planes, 1, frozenset({"neon"}))

    @property
    def weight_bytes(self) -> int:
        return len(self.weights) * (1 + ITEM_BYTES[self.planes.place_dtype]) + self.first.nbytes

    def constants(self) -> tuple[np.ndarray, ...]:
        """(weights, places, first entries, bias)."""
        places = self.planes.places(self.c).transpose(2, 0, 1).reshape(-1)[self.order]
        return self.weights, places.astype(self.planes.place_dtype), self.first, self.c.bias

    def kernel(self, epilogue_values: Sequence[np.ndarray], out_dtype: str) -> Any:
        return pixel_runs_kernel(self.c, self.planes, self.lengths, len(self.weights), epilogue_values, out_dtype)


def plans(c: Contraction, target: Any) -> Iterator[RunPlan]:
    """Every size of tile, where enough weights are zero. With sdot lists of four are faster: a core multiplies twice as many at once."""
    if "neon" not in target.features or "dotprod" in target.features or c.x_dtype != "int8":
        return
    if c.weight.min() < -128 or c.weight.max() > 127 or np.mean(c.weight != 0) > SPARSE:
        return
    planes = [planes_of(c, LANES, pixels // LANES, 1, 1) for pixels in TILES]
    lists = lists_of(c.weight[..., : planes[0].cells].transpose(0, 3, 1, 2).reshape(c.out[3], -1))
    for shape in planes:
        yield RunPlan(c, shape, *lists)


def lists_of(rows: np.ndarray) -> tuple[tuple[int, ...], np.ndarray, np.ndarray, np.ndarray]:
    """(lengths, first, weights, order) of a RunPlan for weights (O, places): short runs are filled with zeros up to the lengths that cost least."""
    channel, place = np.nonzero(rows)
    runs, run, sizes = np.unique(runs_of(rows), return_inverse=True, return_counts=True)
    lengths = cheapest_lengths(np.bincount(sizes, minlength=LONGEST + 1), len(rows))
    by_run = np.argsort(run, kind="stable")
    begin = np.cumsum(sizes) - sizes  # of each run, in `by_run`
    kind, owner = np.searchsorted(lengths, sizes), channel[by_run[begin]]
    full = np.asarray(lengths)[kind]
    placed = np.lexsort((runs, owner, kind))
    start = np.empty_like(full)
    start[placed] = np.cumsum(full[placed]) - full[placed]
    order, weights = np.zeros(max(1, full.sum()), np.int64), np.zeros(max(1, full.sum()), np.int8)
    order[: full.sum()] = place[by_run[begin]][placed].repeat(full[placed])  # where zeros multiply
    at = start[run[by_run]] + np.arange(len(run)) - begin.repeat(sizes)
    order[at], weights[at] = place[by_run], rows[channel, place][by_run]
    first = np.zeros((len(lengths), len(rows) + 1), np.int32)
    np.add.at(first, (kind, owner + 1), full)
    first = first.reshape(-1).cumsum().reshape(first.shape).astype(np.int32)  # those of a length begin where the shorter ones end
    return lengths, first, weights, order


def runs_of(rows: np.ndarray) -> np.ndarray:
    """A number for each of the weights that are not zero, as `np.nonzero` orders them: those of one number are a run. The numbers of a channel ascend."""
    channel, place = np.nonzero(rows)
    counts = np.bincount(channel, minlength=len(rows))
    column = np.arange(len(channel)) - (np.cumsum(counts) - counts)[channel]
    windows = -(-counts // WINDOW)
    window = (np.cumsum(windows) - windows)[channel] + column // WINDOW
    magnitude = np.zeros((int(windows.sum()), WINDOW), np.int64)
    magnitude[window, column % WINDOW] = np.abs(rows[channel, place].astype(np.int64))
    return window * WINDOW + dealt(magnitude)[window, column % WINDOW]


def dealt(magnitude: np.ndarray) -> np.ndarray:
    """int (windows, WINDOW): in which run of its window each weight is; magnitudes of zero count for nothing. As few runs as hold them."""
    order = np.argsort(-magnitude, axis=1, kind="stable")
    count = np.maximum(-(-magnitude.sum(1) // LIMIT), -(-np.count_nonzero(magnitude, axis=1) // LONGEST))
    number = np.zeros_like(magnitude)
    for runs in range(1, WINDOW + 1):
        tried = np.flatnonzero(count == runs)
        load = np.zeros((len(tried), runs), np.int64)
        for start in range(0, WINDOW, runs):
            row = order[tried, start : start + runs]
            lightest = np.argsort(load, axis=1, kind="stable")[:, : row.shape[1]]
            np.put_along_axis(load, lightest, np.take_along_axis(load, lightest, 1) + magnitude[tried[:, None], row], 1)
            number[tried[:, None], row] = lightest
        count[tried[load.max(1, initial=0) > LIMIT]] += 1
    return number


def cheapest_lengths(histogram: np.ndarray, channels: int) -> tuple[int, ...]:
    """Of the sets of lengths that hold all runs. histogram: runs of every length. The cost of a longer run is in the largest tile's instructions."""
    longest = int(np.flatnonzero(histogram).max(initial=1))
    entry = ENTRY_COST + TILES[-1] // PIXELS * ENTRY_VECTOR_COST

    def cost(lengths: tuple[int, ...]) -> float:
        full = np.asarray(lengths)[np.searchsorted(lengths, np.arange(1, longest + 1))]
        return float((full * histogram[1 : longest + 1]).sum()) * entry + channels * LENGTH_COST * len(lengths)

    shorter = range(1, longest)
    return min(((*some, longest) for size in range(longest) for some in combinations(shorter, size)), key=cost)
