"""Lists of cells: the channels of a cell that one instruction multiplies are kept or left out together, blocks of inputs by one output above all.

The instruction's parts change places: its broadcast operand is a cell's weights, its vectors are pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnc_tvm.schedules.intrin import avx512
from nnc_tvm.schedules.isa import EPILOGUE_COST, TILE_COST, DotProduct
from nnc_tvm.schedules.operators.operator import ITEM_BYTES
from nnc_tvm.schedules.rules.contraction import bias_of, instructions
from nnc_tvm.schedules.rules.contraction_plan import TURN_COST, Contraction
from nnc_tvm.schedules.rules.pixel_cells_kernel import Lists, pixel_cells_kernel
from nnc_tvm.schedules.rules.pixel_plan import Planes, planes_of, turning_cost

SPARSE = 0.7  # of the cells at most
INDEX_COST = 2.0  # estimated instructions of reading an entry's place
NEON_INDEX_COST = 4.5
NEON_LIST_COST, NEON_VECTOR_COST = 26.0, 4.5  # of a list's beginning and end, and for each of its vectors
NEON_LOAD_COST = 0.5  # of a vector: they come in pairs
MISALIGNED = 2.0  # loads that one of 32 bytes or more counts as where it may begin anywhere: of kernels of a pixel each begins with a plane


@dataclass(frozen=True, eq=False)
class CellPlan:
    """A PixelPlan: the instruction, which cells are kept (bool (O, KH, KW, C / depth)), and the CPU's features."""

    c: Contraction
    isa: DotProduct
    planes: Planes
    cells: np.ndarray
    lists: Lists
    features: frozenset[str]

    @property
    def depth(self) -> int:
        return self.isa.depth

    @property
    def x_dtype(self) -> str:
        return self.isa.x_dtype

    @property
    def unsigned(self) -> bool:
        return self.isa.x_offset != 0

    @property
    def name(self) -> str:
        return f"unstructured {self.isa.depth}x1 {self.isa.name} {self.planes.tile_pixels} pixels"

    @property
    def cost(self) -> float:
        isa, planes, count = self.isa, self.planes, int(self.cells.sum())
        (multiply, load_x, load_w), vectors, channels = isa.cost, planes.tile.vectors, self.c.out[3]
        if "neon" in self.features:
            entry = vectors * (multiply + NEON_LOAD_COST) + TURN_COST + NEON_INDEX_COST
            a_tile = count * entry + channels * (vectors * NEON_VECTOR_COST + NEON_LIST_COST)
        else:
            anywhere = isa.lanes * ITEM_BYTES[isa.acc_dtype] >= 32 and math.prod(self.c.weight.shape[1:3]) > 1
            entry = vectors * (multiply + load_w * (MISALIGNED if anywhere else 1.0)) + load_x + TURN_COST + INDEX_COST
            a_tile = count * entry + channels * (vectors * EPILOGUE_COST[16] + TILE_COST)
        return planes.tiles * a_tile + turning_cost(self.c, planes, isa.depth * ITEM_BYTES[isa.x_dtype], self.features)

    @property
    def weight_bytes(self) -> int:
        entry = self.isa.depth * ITEM_BYTES[self.lists.weight_dtype] + ITEM_BYTES[self.lists.place_dtype]
        return int(self.cells.sum()) * entry + ITEM_BYTES["int32"] * (self.cells.shape[0] + 1)

    def constants(self) -> tuple[np.ndarray, ...]:
        """One entry of zeros where there is none."""
        planes, lists, depth, bias = self.planes, self.lists, self.isa.depth, bias_of(self.c, self.isa)
        o, i, j, g = np.nonzero(self.cells)
        first = np.concatenate([[0], np.cumsum(np.bincount(o, minlength=self.cells.shape[0]))]).astype(np.int32)
        places = planes.places(self.c)[i, j, g]
        weights = self.c.weight.reshape(*self.cells.shape, depth)[o, i, j, g].astype(lists.weight_dtype).reshape(-1)
        if not len(o):
            return np.zeros(depth, lists.weight_dtype), np.zeros(1, lists.place_dtype), first, bias
        return weights, places.astype(lists.place_dtype), first, bias

    def kernel(self, epilogue_values: Sequence[np.ndarray], out_dtype: str) -> Any:
        return pixel_cells_kernel(self.c, self.isa, self.planes, self.lists, epilogue_values, out_dtype)


def plans(c: Contraction, target: Any) -> Iterator[CellPlan]:
    """Every instruction and count of vectors, where enough cells are zero."""
    made_for_pixels = tuple(isa for isa in avx512.PIXELS if isa.features <= target.features and isa.x_dtype == c.x_dtype)
    for isa in (*made_for_pixels, *(isa for isa in instructions(target.features, c.x_dtype) if not isa.x_offset)):
        if not usable(isa, c):
            continue
        cells = (c.weight != 0).reshape(*c.weight.shape[:3], -1, isa.depth).any(-1)
        if cells.mean() > SPARSE:
            continue
        weight_dtype = "int8" if isa.acc_dtype == "int32" and c.weight.min() >= -128 and c.weight.max() < 128 else isa.x_dtype
        for vectors in isa.tiles:
            planes = planes_of(c, isa.lanes, vectors, isa.depth, isa.depth * ITEM_BYTES[isa.x_dtype])
            lists = Lists(max(1, int(cells.sum())), weight_dtype, planes.place_dtype)
            yield CellPlan(c, isa, planes, np.asarray(cells), lists, target.features)


def usable(isa: DotProduct, c: Contraction) -> bool:
    """Whether weights and pixels can change places in the instruction, and cells are moved as words."""
    whole = c.image[3] % isa.depth == 0 and isa.depth * ITEM_BYTES[isa.x_dtype] in (2, 4)
    return isa.rows == 1 and isa.x_dtype == isa.w_dtype and isa.weight_shape[0] == 1 and whole and len(isa.split(c.weight)) == 1
