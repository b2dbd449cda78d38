"""Tiles of depthwise convolutions: which instruction sums their taps, how many outputs are computed at a time, and what they cost."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nnc_tvm.schedules.intrin.taps import FLOAT, INTEGER, TapProduct
from nnc_tvm.schedules.operators import DepthwiseConv2d
from nnc_tvm.schedules.operators.operator import ITEM_BYTES
from nnc_tvm.schedules.rule import Choose

SURE = 0.95  # of another instruction's estimate: estimates are no more exact
TILE_COST = 24.0  # estimated instructions of a tile beside those of its outputs


@dataclass(frozen=True)
class Tile:
    """rows x pixels outputs of `vectors` vectors of channels at a time; `steps` column products cover the image rows they read."""

    isa: TapProduct
    rows: int
    pixels: int
    vectors: int
    steps: int

    @property
    def block(self) -> int:
        """Channels of a tile."""
        return self.vectors * self.isa.lanes

    @property
    def name(self) -> str:
        return f"{self.isa.name} {self.rows}x{self.pixels}x{self.block}"


def best_instruction(operator: DepthwiseConv2d, features: frozenset[str]) -> TapProduct | None:
    """Of the instructions that the CPU has and that take the weights the first, or the one that surely takes less; deeper ones need neighbouring rows."""
    low, high = operator.weight.min(initial=0), operator.weight.max(initial=0)
    able = [isa for isa in (FLOAT if operator.weight.dtype == np.float32 else INTEGER) if isa.features <= features
            and (isa.weight_dtype == "float32" or (low >= isa.weight_low and high <= isa.weight_high)) and (isa.depth == 1 or operator.dilation[0] == 1)]
    return min(able, key=lambda isa: tile_cost(operator, isa, *best_tile(operator, isa)) / (SURE if isa is not able[0] else 1.0), default=None)


def best_tile(operator: DepthwiseConv2d, isa: TapProduct) -> tuple[int, int, int]:
    """(rows, vectors, pixels) of the tile with the fewest instructions."""
    _, oh, ow, out = operator.output.shape
    pairs = isa.lanes == 8 and out % 16 == 0
    return min(((r, v, p) for r in row_counts(oh, isa) for v in (1, 2)[: 1 + pairs] for p in pixel_counts(ow, isa, r * v)),
               key=lambda tile: tile_cost(operator, isa, *tile))


def choose_tile(operator: DepthwiseConv2d, isa: TapProduct, choose: Choose) -> Tile:
    """By default the best."""
    _, oh, ow, _ = operator.output.shape
    rows, vectors, pixels = best_tile(operator, isa)
    rows = choose("rows", row_counts(oh, isa), rows)
    vectors = choose("vectors", [1, 2], vectors)
    possible = pixel_counts(ow, isa, rows * vectors)
    pixels = choose("pixels", possible, min(pixels, possible[-1]))
    return Tile(isa, rows, pixels, vectors, steps_of(operator, isa, rows))


def row_counts(oh: int, isa: TapProduct) -> list[int]:
    """Output rows that may share the image rows they read: instructions of one row share nothing."""
    return [r for r in ((1, 2, 4) if isa.depth > 1 else (1,)) if r <= min(oh, isa.accumulators)]


def pixel_counts(ow: int, isa: TapProduct, others: int) -> list[int]:
    """Pixels of a tile with so many rows and vectors."""
    return list(range(1, min(max(isa.accumulators // others, 1), ow) + 1))


def steps_of(operator: DepthwiseConv2d, isa: TapProduct, rows: int) -> int:
    """Column products that cover the image rows of a tile."""
    return math.ceil(((rows - 1) * operator.strides[0] + operator.kernel[0]) / isa.depth)


def tile_cost(operator: DepthwiseConv2d, isa: TapProduct, rows: int, vectors: int, pixels: int) -> float:
    """Estimated instructions of an image. Interleaved columns are shared by the outputs of a tile."""
    _, oh, ow, out = operator.output.shape
    kw, steps = operator.kernel[1], steps_of(operator, isa, rows)
    columns = min((pixels - 1) * operator.strides[1] + (kw - 1) * operator.dilation[1] + 1, pixels * kw)
    tiles = math.ceil(oh / rows) * math.ceil(ow / pixels) * math.ceil(out / (vectors * isa.lanes))
    column, product, epilogue = isa.cost
    prepared = columns * steps * (column * vectors + (vectors == 1))  # a register of bytes holds two vectors of 8 channels
    return tiles * (prepared + rows * pixels * vectors * (steps * kw * product + epilogue) + TILE_COST)


def estimated_cost(operator: DepthwiseConv2d, tile: Tile) -> float:
    """Estimated instructions, in the unit of `contraction_plan.tile_cost`, without a copy of the image."""
    return operator.output.shape[0] * tile_cost(operator, tile.isa, tile.rows, tile.vectors, tile.pixels)


def pack_weights(operator: DepthwiseConv2d, tile: Tile, padded_out: int) -> np.ndarray:
    """(KH, KW, O) in the order the loops read: (O / lanes, steps, KW, rows, lanes, depth), zeros where a row has no tap."""
    isa, (kh, kw), out = tile.isa, operator.kernel, operator.weight.shape[2]
    full = np.zeros((tile.rows, tile.steps * isa.depth, kw, padded_out), isa.weight_dtype)
    for r in range(tile.rows):
        full[r, r * operator.strides[0]:r * operator.strides[0] + kh, :, :out] = operator.weight
    split = full.reshape(tile.rows, tile.steps, isa.depth, kw, padded_out // isa.lanes, isa.lanes)
    return np.ascontiguousarray(split.transpose(4, 1, 3, 0, 5, 2))


def packed_bytes(operator: DepthwiseConv2d, tile: Tile) -> int:
    """Of the weights as `pack_weights` makes them."""
    channels = math.ceil(operator.output.shape[3] / tile.block) * tile.block
    return channels * tile.rows * tile.steps * tile.isa.depth * operator.kernel[1] * ITEM_BYTES[tile.isa.weight_dtype]
