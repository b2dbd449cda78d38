"""Convolutions with scattered zeros: vectors of pixels, and for every output channel a list of the inputs whose weights are not zero.

The image is turned into planes, cell by cell: plane g holds the g-th `depth` channels of every pixel of the padded image, so that a vector
holds as many pixels as the instruction has lanes. An entry of a list is a cell's weights and the place of its first pixel. Rows follow
each other in the planes; what is computed between them is left out when the result is turned back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnc_tvm.schedules.candidates import Candidate
from nnc_tvm.schedules.epilogue import epilogue_constants
from nnc_tvm.schedules.intrin.transpose import tiled_transpose
from nnc_tvm.schedules.isa import DotProduct, Tile
from nnc_tvm.schedules.operators import Conv2d, Operator, TensorType
from nnc_tvm.schedules.operators.operator import ITEM_BYTES
from nnc_tvm.schedules.rule import Choose, Stage
from nnc_tvm.schedules.rules.contraction import contraction_of, instructions
from nnc_tvm.schedules.rules.contraction_plan import COPY_COST, EPILOGUE_COST, TILE_COST, TURN_COST, Contraction
from nnc_tvm.schedules.rules.pixel_sparse_kernel import Lists, Planes, pixel_sparse_kernel
from nnc_tvm.schedules.rules.winograd import phases, prepare_image

SPARSE = 0.7  # of the cells at most
INDEX_COST = 2.0  # estimated instructions of reading an entry's place
TURN_BACK_COST = 1.0  # estimated instructions per element that is turned into planes or back
WORD = {2: "int16", 4: "int32"}  # what moves a cell of so many bytes


@dataclass(frozen=True, eq=False)
class PixelPlan:
    """The instruction, its vectors of pixels, the planes, which cells are kept (bool (O, KH, KW, C / depth)), and how they are stored."""

    isa: DotProduct
    planes: Planes
    cells: np.ndarray
    lists: Lists

    @property
    def name(self) -> str:
        return f"unstructured {self.isa.depth}x1 {self.isa.name} {self.planes.tile_pixels} pixels"


def candidate(operator: Operator, target: Any) -> Candidate | None:
    """Conv2d without groups and residual where enough weights are zero."""
    direct = contraction_of(operator) if isinstance(operator, Conv2d) else None
    if direct is None or direct.residual is not None or direct.groups != 1 or (direct.strides != (1, 1) and direct.dilation != (1, 1)):
        return None
    c = phases(direct)
    plans = [plan for isa in instructions(target.features, c.x_dtype) if usable(isa, c) for plan in plans_of(c, isa)]
    if not plans:
        return None
    best = min(range(len(plans)), key=lambda k: plan_cost(c, plans[k]))

    def build(choose: Choose) -> tuple[Stage, ...]:
        return make_stages(operator, direct, c, plans[choose("pixel_plan", list(range(len(plans))), best)])

    return Candidate("unstructured", plan_cost(c, plans[best]), weight_bytes(plans[best]), build)


def usable(isa: DotProduct, c: Contraction) -> bool:
    """Whether weights and pixels can change places in the instruction, and cells are moved as words."""
    whole = c.image[3] % isa.depth == 0 and isa.depth * ITEM_BYTES[isa.x_dtype] in WORD
    return isa.rows == 1 and isa.x_dtype == isa.w_dtype and not isa.x_offset and isa.weight_shape[0] == 1 and whole and len(isa.split(c.weight)) == 1


def plans_of(c: Contraction, isa: DotProduct) -> Iterator[PixelPlan]:
    """Every count of vectors, where enough cells are zero."""
    cells = (c.weight != 0).reshape(*c.weight.shape[:3], -1, isa.depth).any(-1)
    if cells.mean() > SPARSE:
        return
    (n, oh, ow, _), (kh, kw), (dh, dw) = c.out, c.weight.shape[1:3], c.dilation
    rows, width = oh + (kh - 1) * dh, ow + (kw - 1) * dw
    weight_dtype = "int8" if isa.acc_dtype == "int32" and c.weight.min() >= -128 and c.weight.max() < 128 else isa.x_dtype
    for vectors in isa.tiles:
        pixels = vectors * isa.lanes
        tiles = math.ceil(((n - 1) * rows * width + (oh - 1) * width + ow) / pixels)
        planes = Planes(Tile(1, vectors, 1, 0), rows, width, tiles, pixels, tiles * pixels + (rows - oh) * width + (width - ow))
        place_dtype = "uint16" if cells.shape[3] * planes.pitch <= 1 << 16 else "int32"
        yield PixelPlan(isa, planes, np.asarray(cells), Lists(max(1, int(cells.sum())), weight_dtype, place_dtype))


def plan_cost(c: Contraction, plan: PixelPlan) -> float:
    """Estimated instructions, in the unit of `contraction_plan.tile_cost`."""
    isa, planes = plan.isa, plan.planes
    multiply, load_x, load_w = isa.cost
    vectors = planes.tile.vectors
    entry = vectors * (multiply + load_w) + load_x + TURN_COST + INDEX_COST
    tiles = planes.tiles * (int(plan.cells.sum()) * entry + c.out[3] * (vectors * EPILOGUE_COST[16] + TILE_COST))
    pixels = c.out[0] * planes.rows * planes.width
    return tiles + pixels * (c.image[3] * (COPY_COST + TURN_BACK_COST / isa.depth) + c.out[3] * TURN_BACK_COST)


def weight_bytes(plan: PixelPlan) -> int:
    """Bytes of the lists."""
    entry = plan.isa.depth * ITEM_BYTES[plan.lists.weight_dtype] + ITEM_BYTES[plan.lists.place_dtype]
    return int(plan.cells.sum()) * entry + ITEM_BYTES["int32"] * (plan.cells.shape[0] + 1)


def make_stages(operator: Operator, direct: Contraction, c: Contraction, plan: PixelPlan) -> tuple[Stage, ...]:
    """The padded image, its planes, the kernel on planes, and the way back."""
    isa, planes = plan.isa, plan.planes
    (n, oh, ow, out), channels = c.out, c.image[3]
    rows, width, pitch, dtype = planes.rows, planes.width, planes.pitch, operator.output.dtype
    made = list(prepare_image(direct, c, rows, width * channels, isa.x_dtype))

    def add(function: Any, constants: tuple[np.ndarray, ...], result: TensorType, kernel: str) -> None:
        made.append(Stage(function, (-len(made),), constants, result, kernel))

    cells, pixels = channels // isa.depth, n * rows * width
    word = WORD[isa.depth * ITEM_BYTES[isa.x_dtype]]
    turn = tiled_transpose((), (), (), pixels, cells, cells, pitch, pixels * cells, word, 8, cells * pitch)
    add(turn, (), TensorType((cells * pitch * isa.depth,), isa.x_dtype), "planes")
    parameters = (c.bias, *(v for _, v in epilogue_constants(c.epilogue, out)))
    function = pixel_sparse_kernel(c, isa, planes, plan.lists, parameters[1:], dtype)
    add(function, (*pack_weights(c, plan), *parameters), TensorType((out * planes.tiles * planes.tile_pixels,), dtype), plan.name)
    line = planes.tiles * planes.tile_pixels
    tile = 16 if dtype == "int8" and ow >= 16 else 8
    back = tiled_transpose((n, oh), (rows * width, width), (oh * ow * out, ow * out), out, ow, line, out, out * line, dtype, tile, n * oh * ow * out)
    add(back, (), operator.output, "pixels")
    return tuple(made)


def pack_weights(c: Contraction, plan: PixelPlan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(weights, places, first entries) as the kernel reads them; one entry of zeros where there is none."""
    isa, planes, lists = plan.isa, plan.planes, plan.lists
    o, i, j, g = np.nonzero(plan.cells)
    first = np.concatenate([[0], np.cumsum(np.bincount(o, minlength=plan.cells.shape[0]))]).astype(np.int32)
    places = g * planes.pitch + i * c.dilation[0] * planes.width + j * c.dilation[1]
    weights = c.weight.reshape(*plan.cells.shape, isa.depth)[o, i, j, g].astype(lists.weight_dtype).reshape(-1)
    if not len(o):
        return np.zeros(isa.depth, lists.weight_dtype), np.zeros(1, lists.place_dtype), first
    return weights, places.astype(lists.place_dtype), first
