"""Lists of single weights, four at a time: planes of bytes, four of which meet in an instruction.

AVX2's pmaddubsw adds two products of unsigned and signed bytes in int16, where those of two weights of one sign may saturate. A list
therefore is two streams, of the positive and of the negative weights, that are taken in pairs: 255 * 128 fits. AVX-512's vpdpbusd and NEON's sdot
add all four in int32, and one stream has all weights. Each stream goes through the weights channel by channel. What is stored of a place is the place itself,
or the step to it, a byte: smaller and slower.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from nnc_tvm.schedules.intrin.quads import QUADS, Quads
from nnc_tvm.schedules.operators.operator import ITEM_BYTES
from nnc_tvm.schedules.rules.contraction_plan import Contraction
from nnc_tvm.schedules.rules.pixel_plan import Planes, planes_of, turning_cost
from nnc_tvm.schedules.rules.pixel_quads_kernel import pixel_quads_kernel

SPARSE = 0.5  # of the weights at most: longer lists never win
STEP = 127  # the farthest that an entry is from the one before
STEPPING_COST = 10.0  # estimated instructions of four steps


@dataclass(frozen=True, eq=False)
class QuadPlan:
    """A PixelPlan. lists: (steps, values) of every output channel, as `streams_of` makes them. stepping: whether steps are stored, or places."""

    c: Contraction
    quads: Quads
    planes: Planes
    lists: tuple[tuple[np.ndarray, np.ndarray], ...]
    stepping: bool
    depth: int = 1
    x_dtype: str = "int8"

    @property
    def unsigned(self) -> bool:
        return self.quads.x_offset != 0

    @property
    def name(self) -> str:
        return f"unstructured {self.quads.name} {self.planes.tile_pixels} pixels{' by steps' if self.stepping else ''}"

    @property
    def weights(self) -> int:
        """Of an output channel, those that are zero included."""
        return math.prod(self.c.weight.shape[1:3]) * self.planes.cells

    @cached_property
    def entries(self) -> int:
        """Of four weights, in all lists; at least one."""
        return max(1, sum(values.size // 4 for _, values in self.lists))

    @property
    def cost(self) -> float:
        planes, vectors = self.planes, self.planes.tile.vectors
        aligned = self.quads.aligned if math.prod(self.c.weight.shape[1:3]) == 1 else 1.0
        quad = self.quads.costs[vectors // 4] * aligned + STEPPING_COST * self.stepping
        tiles = planes.tiles * (self.entries * quad + self.c.out[3] * (vectors * self.quads.vector_cost + self.quads.list_cost))
        return tiles + turning_cost(self.c, planes, 1, self.quads.features)

    @property
    def weight_bytes(self) -> int:
        place = ITEM_BYTES[self.planes.place_dtype]
        paths = 4 * self.entries + place * self.weights if self.stepping else 4 * self.entries * place
        return 4 * self.entries + paths + ITEM_BYTES["int32"] * (len(self.lists) + 1)

    def constants(self) -> tuple[np.ndarray, ...]:
        """(weights, places of the weights or steps to them, [the places of all weights of an output channel,] first entries, bias)."""
        c, dtype = self.c, self.planes.place_dtype
        everywhere = self.planes.places(c).transpose(2, 0, 1).astype(dtype).reshape(-1)
        first = np.concatenate([[0], np.cumsum([values.size // 4 for _, values in self.lists])]).astype(np.int32)
        bias = (c.bias.astype(np.int64) - self.quads.x_offset * c.weight.astype(np.int64).sum(axis=(1, 2, 3))).astype(np.int32)
        weights, paths = np.zeros(4 * self.entries, np.int8), np.zeros(4 * self.entries, np.int8 if self.stepping else dtype)
        weights[: 4 * first[-1]] = np.concatenate([values for _, values in self.lists]).reshape(-1)
        starts = [len(everywhere) - 1 if is_backwards(o) else 0 for o in range(len(self.lists))]
        made = [steps if self.stepping else everywhere[start + np.cumsum(steps, axis=0)] for start, (steps, _) in zip(starts, self.lists, strict=True)]
        paths[: 4 * first[-1]] = np.concatenate(made).reshape(-1)
        return (weights, paths, everywhere, first, bias) if self.stepping else (weights, paths, first, bias)

    def kernel(self, epilogue_values: Sequence[np.ndarray], out_dtype: str) -> Any:
        return pixel_quads_kernel(self.c, self.quads, self.planes, self.entries, self.stepping, epilogue_values, out_dtype)


def plans(c: Contraction, target: Any) -> Iterator[QuadPlan]:
    """Every instruction and size of tile, where enough weights are zero."""
    if c.x_dtype != "int8" or c.weight.min() < -128 or c.weight.max() > 127 or np.mean(c.weight != 0) > SPARSE:
        return
    for quads in QUADS:
        if not quads.features <= target.features:
            continue
        planes = [planes_of(c, quads.lanes, 4 * groups, 1, 1) for groups in quads.costs]
        rows = c.weight[..., : planes[0].cells].transpose(0, 3, 1, 2).reshape(c.out[3], -1)
        lists = tuple(streams_of(row, is_backwards(o), quads.streams) for o, row in enumerate(rows))
        for shape, stepping in product(planes, (False, True)):
            yield QuadPlan(c, quads, shape, lists, stepping)


def is_backwards(o: int) -> bool:
    """Every other channel goes backwards through the planes, and finds those that the one before read last in the cache."""
    return o % 2 == 1


def streams_of(row: np.ndarray, backwards: bool, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The weights of an output channel that are not zero, (steps (P, count), values (P, count)): one stream, or positive and negative ones side by side.

    Four at a time: P * count is a multiple of four.
    A step is what is added to a stream's index into `row`, 0 at first and the last one `backwards`. Far steps are made in several, of zeros.
    """
    streams = [np.flatnonzero(row)] if count == 1 else [np.flatnonzero(row > 0), np.flatnonzero(row < 0)]
    start = len(row) - 1 if backwards else 0
    index = np.full((max(map(len, streams)) + 1, count), start, np.int64)
    values = np.zeros((len(index) - 1, count), np.int64)
    for s, stream in enumerate(streams):
        ordered = stream[::-1] if backwards else stream
        index[1 : 1 + len(stream), s], values[: len(stream), s] = ordered, row[ordered]
        index[1 + len(stream) :, s] = index[len(stream), s]
    steps = np.diff(index, axis=0)
    parts = np.maximum(1, -(-np.abs(steps).max(1, initial=0) // STEP))
    last = np.cumsum(parts)
    number = np.arange(parts.sum()) - np.repeat(last - parts, parts)  # of a part among its step's
    steps, parts = steps.repeat(parts, 0), parts.repeat(parts)[:, None]
    cut = steps * (number[:, None] + 1) // parts - steps * number[:, None] // parts
    full = np.zeros_like(cut)
    full[last - 1] = values
    rest = -len(cut) % (4 // count)
    return np.pad(cut, ((0, rest), (0, 0))), np.pad(full, ((0, rest), (0, 0)))
