"""How a contraction is cut: its reduction as runs of neighbouring elements, the instruction, and the register tile."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnc_tvm.schedules.isa import DotProduct, Tile
from nnc_tvm.schedules.quantization import Epilogue
from nnc_tvm.schedules.rule import Choose


@dataclass(frozen=True, eq=False)
class Contraction:
    """A convolution or dense layer in the one form that the kernel knows; shapes, strides and padding as in Conv2d.

    weight: (O, KH, KW, C / groups). bias: (O,) of the accumulator's dtype, the zero point's share already subtracted.
    border: what lies outside the image.
    """

    image: tuple[int, int, int, int]
    out: tuple[int, int, int, int]
    weight: np.ndarray
    bias: np.ndarray
    epilogue: Epilogue
    border: float
    strides: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

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
    """isa and tile; the weights as `parts` that the instruction takes; run_depth: elements of a run, rounded up to the depth."""

    isa: DotProduct
    tile: Tile
    parts: list[np.ndarray]
    run_depth: int

    @property
    def block(self) -> int:
        """Output channels of a tile."""
        return self.tile.vectors * self.isa.lanes


def round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


LOOP_COST = 3.0  # instructions of one turn of the innermost loop besides the step itself
EPILOGUE_COST = 12.0  # instructions per accumulator vector, from zeroing to storing
TILE_COST = 20.0


def tile_cost(c: Contraction, isa: DotProduct, parts: int, pixels: int, vectors: int) -> float:
    """Estimated instructions of the whole contraction."""
    runs, run = c.runs
    depths = math.ceil(run / isa.depth)
    steps = next(s for s in isa.steps if depths % s == 0)
    accumulators = pixels // isa.rows * vectors
    multiply, load_x, load_w = isa.cost
    step = accumulators * multiply + pixels * (load_x if steps > 1 or len(isa.steps) == 1 else 1.0) + vectors * load_w + LOOP_COST / steps
    tiles = math.prod(c.out[:2]) * math.ceil(c.out[2] / pixels) * c.groups * math.ceil(c.group_channels / (vectors * isa.lanes))
    return tiles * (step * depths * runs * c.weight.shape[1] * parts + accumulators * EPILOGUE_COST + TILE_COST)


def make_plan(c: Contraction, candidates: tuple[DotProduct, ...], choose: Choose) -> Plan | None:
    """The cheapest instruction and tile by `tile_cost`; None without candidates."""
    if not candidates:
        return None
    parts = {isa.name: isa.split(c.weight) for isa in candidates}
    width = {isa.name: round_up(c.out[2], isa.rows) for isa in candidates}
    options = [(isa, p, v) for isa in candidates for v, most in isa.tiles.items() for p in range(isa.rows, min(most, width[isa.name]) + 1, isa.rows)]
    costs = {(isa.name, p, v): tile_cost(c, isa, len(parts[isa.name]), p, v) for isa, p, v in options}
    best = min(costs, key=lambda k: costs[k])
    isa = next(i for i in candidates if i.name == best[0])
    vectors = choose("vectors", list(isa.tiles), best[2])
    most = min(isa.tiles[vectors], width[isa.name])
    pixels = choose("pixels", list(range(isa.rows, most + 1, isa.rows)), min(best[1], most))
    _, run = c.runs
    depths = math.ceil(run / isa.depth)
    steps = choose("steps", [s for s in isa.steps if depths % s == 0], next(s for s in isa.steps if depths % s == 0))
    return Plan(isa, Tile(pixels, vectors, steps, c.strides[1] * c.image[3]), parts[isa.name], depths * isa.depth)


def instructions(tables: Any, features: frozenset[str]) -> tuple[DotProduct, ...]:
    """The instructions of the tables that a CPU has."""
    return tuple(isa for table in tables for isa in table if isa.features <= features)
