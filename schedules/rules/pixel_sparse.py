"""Convolutions with scattered zeros: vectors of pixels, and for every output channel a list of the inputs whose weights are not zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnc_tvm.schedules.candidates import Candidate
from nnc_tvm.schedules.epilogue import epilogue_constants
from nnc_tvm.schedules.intrin.transpose import overlapping_planes, tiled_transpose
from nnc_tvm.schedules.operators import Conv2d, Operator, TensorType
from nnc_tvm.schedules.operators.operator import ITEM_BYTES
from nnc_tvm.schedules.rule import Choose, Stage
from nnc_tvm.schedules.rules import pixel_cells, pixel_quads, pixel_runs
from nnc_tvm.schedules.rules.contraction import contraction_of
from nnc_tvm.schedules.rules.contraction_plan import Contraction
from nnc_tvm.schedules.rules.pixel_plan import PixelPlan
from nnc_tvm.schedules.rules.winograd import phases, prepare_image

WORD = {1: "int8", 2: "int16", 4: "int32"}  # what moves a cell of so many bytes


def candidate(operator: Operator, target: Any) -> Candidate | None:
    """Conv2d without groups and residual where enough weights are zero for the lists to be smaller than all weights."""
    direct = contraction_of(operator) if isinstance(operator, Conv2d) else None
    if direct is None or direct.residual is not None or direct.groups != 1 or (direct.strides != (1, 1) and direct.dilation != (1, 1)):
        return None
    c = phases(direct)
    every: list[PixelPlan] = [*pixel_cells.plans(c, target), *pixel_quads.plans(c, target), *pixel_runs.plans(c, target)]
    plans = [plan for plan in every if plan.weight_bytes < direct.weight.size * (ITEM_BYTES["float32"] if c.x_dtype == "float32" else 1)]
    if not plans:
        return None
    costs = [(plan.weight_bytes, plan.cost) if target.optimize == "size" else (plan.cost, plan.weight_bytes) for plan in plans]
    best = min(range(len(plans)), key=costs.__getitem__)

    def build(choose: Choose) -> tuple[Stage, ...]:
        return make_stages(operator, direct, c, plans[choose("pixel_plan", list(range(len(plans))), best)])

    return Candidate("unstructured", plans[best].cost, plans[best].weight_bytes, build)


def make_stages(operator: Operator, direct: Contraction, c: Contraction, plan: PixelPlan) -> tuple[Stage, ...]:
    """The padded image, its planes, the kernel on planes, and the way back."""
    planes = plan.planes
    (n, oh, ow, out), channels = c.out, c.image[3]
    rows, width, dtype = planes.rows, planes.width, operator.output.dtype
    made = list(prepare_image(direct, c, rows, width * channels, plan.x_dtype))

    def add(function: Any, constants: tuple[np.ndarray, ...], result: TensorType, kernel: str) -> None:
        made.append(Stage(function, (-len(made),), constants, result, kernel))

    word = WORD[plan.depth * ITEM_BYTES[plan.x_dtype]]
    turn = overlapping_planes((n * rows * width, channels // plan.depth), planes.cells, planes.tiles, planes.tile_pixels, planes.pitch, word,
                              16 if word == "int8" else 8, plan.unsigned)
    add(turn, (), TensorType((planes.tiles * planes.tile_cells * plan.depth,), plan.x_dtype), "planes")
    parameters = tuple(v for _, v in epilogue_constants(c.epilogue, out))
    add(plan.kernel(parameters, dtype), (*plan.constants(), *parameters), TensorType((out * planes.line,), dtype), plan.name)
    tile = 16 if dtype == "int8" and ow >= 16 else 8
    back = tiled_transpose((n, oh), (rows * width, width), (oh * ow * out, ow * out), out, ow, planes.line, out, out * planes.line, dtype, tile,
                           n * oh * ow * out)
    add(back, (), operator.output, "pixels")
    return tuple(made)
