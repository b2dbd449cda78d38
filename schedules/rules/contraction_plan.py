"""How a contraction is cut: its reduction as runs of neighbouring elements, the instruction, and the register tile."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nnc_tvm.schedules.isa import DotProduct, Tile
from nnc_tvm.schedules.loops import round_up
from nnc_tvm.schedules.operators import LinearCombination
from nnc_tvm.schedules.operators.operator import ITEM_BYTES
from nnc_tvm.schedules.quantization import Epilogue
from nnc_tvm.schedules.rule import Choose


@dataclass(frozen=True, eq=False)
class Contraction:
    """A convolution, dense layer or matrix product in the one form that the kernel knows; shapes, strides and padding as in Conv2d.

    weight: (O, KH, KW, C / groups). bias: (O,) of the accumulator's dtype, the zero point's share already subtracted.
    border: what lies outside the image. own_weights: every image has weights (and biases) of its own, packed at run time.
    row_terms: something is added to all channels of a pixel. residual: as in Conv2d.
    slack: the image lies in memory that may be read beyond its end.
    rows: of the run's parameters, where each needs its own in the epilogue; 0 where there are none or one.
    """

    image: tuple[int, int, int, int]
    out: tuple[int, int, int, int]
    weight: np.ndarray
    bias: np.ndarray
    epilogue: Epilogue
    border: float
    x_dtype: str
    strides: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    own_weights: bool = False
    row_terms: bool = False
    residual: LinearCombination | None = None
    slack: bool = False
    rows: int = 0

    @property
    def group_channels(self) -> int:
        """Output channels of a group."""
        return self.out[3] // self.groups

    @property
    def runs(self) -> tuple[int, int]:
        """(runs of a kernel row, elements of a run): the elements of x that one output reads from a row, in contiguous pieces.

        Where neighbouring kernel columns touch neighbouring pixels, a kernel row is one run.
        """
        _, _, kw, channels = self.weight.shape
        return (1, kw * channels) if self.dilation[1] == 1 and self.groups == 1 else (kw, channels)


@dataclass(frozen=True, eq=False)
class Plan:
    """isa and tile; the weights as `parts` that the instruction takes.

    run_depth: elements of a run, rounded up to the depth. channels: of a group, rounded up to whole tiles.
    packed_shape: of the weights in the order the loops read them:
    (sets, tiles of channels, KH of all parts, runs, steps of a run, vectors, depth / group, lanes, group).
    """

    isa: DotProduct
    tile: Tile
    parts: list[np.ndarray]
    run_depth: int
    channels: int
    packed_shape: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"{self.isa.name} {self.tile.pixels}x{self.block}"

    @property
    def block(self) -> int:
        """Output channels of a tile."""
        return self.tile.vectors * self.isa.lanes


def x_layout(c: Contraction, isa: DotProduct, pixels: int, reach: int = 0) -> tuple[int, int, int, bool]:
    """(rows, elements of a row, elements in all, whether it is a copy) of the image that a kernel with tiles of `pixels` reads.

    reach: elements that are read of a run, where those are not whole depths. It is a copy where there is a border, where the instruction wants another
    type, or where the last tile would read beyond the image.
    """
    n, h, w, channels = c.image
    _, oh, ow, _ = c.out
    (sh, sw), (dh, dw), (kh, kw) = c.strides, c.dilation, c.weight.shape[1:3]
    runs, run = c.runs
    rows, width = (oh - 1) * sh + (kh - 1) * dh + 1, (ow - 1) * sw + (kw - 1) * dw + 1
    # of the last row: all that its tiles read, pixels and elements that do not count included
    last = ((round_up(ow, pixels) - 1) * sw + (runs - 1) * dw) * channels + (c.groups - 1) * c.weight.shape[3]
    last += reach or round_up(run, isa.depth)
    read, given = ((n - 1) * h + rows - 1) * w * channels + last, n * h * w * channels
    if not any(c.padding) and isa.x_dtype == c.x_dtype and (c.slack or read <= given):
        return h, w * channels, max(read, given), False
    return rows, width * channels, (n * rows - 1) * width * channels + max(last, width * channels), True


def parts_of(c: Contraction, isa: DotProduct) -> list[np.ndarray]:
    """The weights as the fewest arrays that the instruction takes exactly and that add up to them."""
    if not isa.apart or c.weight.min() != isa.weight_low - 1 or c.weight.max() > isa.weight_high:
        return isa.split(c.weight)
    lowest = c.weight.reshape(-1) == isa.weight_low - 1  # in the order of the reduction; a pair is never of two rows or runs
    return isa.split(c.weight) if (lowest[: -isa.apart] & lowest[isa.apart:]).any() else [c.weight]


# estimated instructions
TURN_COST = 2.0  # of one turn of the innermost loop, besides the step itself
COPY_COST = 0.2  # per element: a copy costs memory, too


def store_width(channels: int, block: int) -> int:
    """How many channels are stored at once: a vector never straddles the end of a tile of `block` channels or of a group of `channels`."""
    return math.gcd(channels, block, 16)


def turns(c: Contraction, isa: DotProduct, parts: int) -> int:
    """Of the innermost loop, for a tile."""
    runs, run = c.runs
    depths = math.ceil(run / isa.depth)
    return depths // steps_of(isa, depths) * runs * c.weight.shape[1] * parts


def steps_of(isa: DotProduct, depths: int) -> int:
    """How many depths of a run a turn takes."""
    return next(s for s in isa.steps if depths % s == 0)


def tile_cost(c: Contraction, isa: DotProduct, parts: int, pixels: int, vectors: int) -> float:
    """Estimated instructions of the whole contraction."""
    steps, count = steps_of(isa, math.ceil(c.runs[1] / isa.depth)), turns(c, isa, parts)
    accumulators, block = pixels // isa.rows * vectors, vectors * isa.lanes
    if count <= isa.short and 2 * accumulators > isa.accumulators + 8:
        return math.inf
    multiply, load_x, load_w = isa.cost
    step = accumulators * multiply + pixels * (load_x if steps > 1 or len(isa.steps) == 1 else 1.0) + vectors * load_w
    tiles = math.prod(c.out[:2]) * math.ceil(c.out[2] / pixels) * c.groups * math.ceil(c.group_channels / block)
    *_, elements, copied = x_layout(c, isa, pixels)
    turn = step * steps + TURN_COST * isa.beside
    return tiles * (count * turn + accumulators * isa.stores[store_width(c.group_channels, block)] + isa.a_tile) + copied * elements * COPY_COST


def pixel_counts(c: Contraction, isa: DotProduct, vectors: int) -> list[int]:
    """The pixels that a tile of `vectors` may have: whole rows of the instruction, no more than fit the registers or than an image row has."""
    return list(range(isa.rows, min(isa.tiles[vectors], round_up(c.out[2], isa.rows)) + 1, isa.rows))


def weight_bytes(c: Contraction, isa: DotProduct, parts: int, vectors: int) -> int:
    """Bytes of the packed weights of a set."""
    runs, run = c.runs
    channels = c.groups * round_up(c.group_channels, vectors * isa.lanes)
    return channels * parts * c.weight.shape[1] * runs * round_up(run, isa.depth) * ITEM_BYTES[isa.w_dtype]


def cheapest(c: Contraction, candidates: tuple[DotProduct, ...], smallest: bool = False,
             parts: Mapping[DotProduct, int] | None = None) -> tuple[float, DotProduct, int, int] | None:
    """(estimated instructions, instruction, pixels and vectors of the tile) of the best by `tile_cost`; None without candidates.

    smallest: the best of those with the fewest bytes of weights. parts: into how many each instruction splits the weights, where that is known.
    """
    parts = parts or {isa: len(parts_of(c, isa)) for isa in candidates}
    options = [(tile_cost(c, isa, parts[isa], p, v), isa, p, v) for isa in candidates for v in isa.tiles for p in pixel_counts(c, isa, v)]
    return min(options, key=lambda o: (smallest * weight_bytes(c, o[1], parts[o[1]], o[3]), o[0]), default=None)


def make_plan(c: Contraction, candidates: tuple[DotProduct, ...], choose: Choose, smallest: bool = False) -> Plan | None:
    """As `cheapest`, or as chosen; None without candidates."""
    best = cheapest(c, candidates, smallest)
    if best is None:
        return None
    _, isa, pixels, vectors = best
    parts = parts_of(c, isa)
    vectors = choose("vectors", list(isa.tiles), vectors)
    possible = pixel_counts(c, isa, vectors)
    pixels = choose("pixels", possible, min(pixels, possible[-1]))
    depths = math.ceil(c.runs[1] / isa.depth)
    divisors = [s for s in isa.steps if depths % s == 0]
    steps = choose("steps", divisors, divisors[0])
    tile = Tile(pixels, vectors, steps, c.strides[1] * c.image[3])
    channels = round_up(c.group_channels, vectors * isa.lanes)
    packed = (c.image[0] if c.own_weights else c.groups, channels // (vectors * isa.lanes), len(parts) * c.weight.shape[1], c.runs[0], depths, vectors,
              *isa.weight_shape)
    return Plan(isa, tile, parts, depths * isa.depth, channels, packed)
