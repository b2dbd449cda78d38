"""Dot-product instructions as data: what a contraction kernel needs to know about an instruction set."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nnc_tvm.schedules.arithmetic import PORTABLE, Arithmetic

# estimated instructions
EPILOGUE_COST = {1: 16.0, 2: 16.0, 4: 13.0, 8: 9.0, 16: 8.0}  # per accumulator vector, by how many channels are stored at once
TILE_COST = 20.0


@dataclass(frozen=True)
class Tile:
    """A register tile and one step of its reduction.

    pixels: a multiple of the instruction's rows. vectors: accumulator vectors across channels.
    steps: of the instruction's depth, taken at once. stride: elements of x from one pixel to the next.
    """

    pixels: int
    vectors: int
    steps: int
    stride: int


@dataclass(frozen=True, eq=False)
class DotProduct:
    """acc[row, lane] += sum over d < depth of x[row, d] * w[lane, d], for `rows` pixels and `lanes` channels in one vector.

    features: what the CPU must have.
    weight_low, weight_high: the weights for which the instruction is exact with any x.
    group: a vector's weights are stored [depth / group][lanes][group]; `depth` where each channel's are contiguous.
    steps: how many depths of x one load can serve; a tile takes the largest that divides its reduction.
    tiles: accumulator vectors across channels -> the most pixels that leave room for the operands: more would spill.
    cost: instructions per accumulator vector, per pixel and per weight vector of one depth.
    short: a reduction of so many turns LLVM unrolls whole; it then needs more registers.
    beside: of the time of other instructions what they take beside these, where these keep the multipliers busy.
    reads: it reads x from memory by itself, which costs no load where a tile has one vector.
    unrolled: LLVM unrolls an innermost loop of up to so many accumulations whole.
    emit: (tile, x, w, acc) emits the instructions of one step on the buffers that `intrin.tile` describes.
    apart: a weight of weight_low - 1 is exact, too, unless the one so many elements before or behind it in the reduction is another; 0: none is.
    x_offset: what the instruction adds to every x; the bias takes it back.
    arithmetic: how the CPU requantizes.
    stores: estimated instructions of requantizing and storing a vector of accumulators, by how many channels are stored at once.
    a_tile: of a tile besides.
    """

    name: str
    features: frozenset[str]
    x_dtype: str
    w_dtype: str
    acc_dtype: str
    lanes: int
    depth: int
    tiles: Mapping[int, int]
    cost: tuple[float, float, float]
    emit: Callable[[Tile, Any, Any, Any], None]
    rows: int = 1
    group: int = 0
    steps: tuple[int, ...] = (1,)
    short: int = 2
    beside: float = 1.0
    reads: bool = False
    unrolled: int = 0
    weight_low: float = -math.inf
    weight_high: float = math.inf
    apart: int = 0
    x_offset: int = 0
    arithmetic: Arithmetic = field(default=PORTABLE)
    stores: Mapping[int, float] = field(default_factory=lambda: EPILOGUE_COST)
    a_tile: float = TILE_COST

    @property
    def weight_shape(self) -> tuple[int, int, int]:
        """A vector's weights in memory: (depth / group, lanes, group)."""
        group = self.group or self.depth
        return self.depth // group, self.lanes, group

    @property
    def accumulators(self) -> int:
        """Vectors of the largest tile."""
        return max(v * p // self.rows for v, p in self.tiles.items())

    def split(self, weight: np.ndarray) -> list[np.ndarray]:
        """`weight` as the fewest arrays that the instruction takes exactly and that add up to it; floats are taken as they are."""
        if weight.dtype.kind == "f":
            return [weight]
        parts: list[np.ndarray] = []
        rest = weight
        while not parts or rest.any():
            parts.append(np.clip(rest, self.weight_low, self.weight_high).astype(weight.dtype))
            rest = rest - parts[-1]
        return parts
