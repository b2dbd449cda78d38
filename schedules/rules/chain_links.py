"""How a link of a chain computes its bands: as a contraction or as a depthwise convolution, by the kernels that those have."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnc_tvm.schedules.epilogue import epilogue_constants
from nnc_tvm.schedules.isa import DotProduct
from nnc_tvm.schedules.operators import DepthwiseConv2d
from nnc_tvm.schedules.operators.operator import ITEM_BYTES, WeightedSum
from nnc_tvm.schedules.rule import Choose, choose_default
from nnc_tvm.schedules.rules.chain_plan import Link, Reading
from nnc_tvm.schedules.rules.contraction import bias_of, contraction_of, instructions_for, pack_weights, per_group
from nnc_tvm.schedules.rules.contraction_kernel import contraction_kernel
from nnc_tvm.schedules.rules.contraction_plan import COPY_COST, Contraction, cheapest, make_plan, parts_of, turns, weight_bytes, x_layout
from nnc_tvm.schedules.rules.depthwise_kernel import constants_of, depthwise_kernel, extent
from nnc_tvm.schedules.rules.depthwise_plan import Tile, best_instruction, choose_tile, estimated_cost, packed_bytes

STREAM_COST = 0.02  # estimated instructions per byte of weights, which every step but the first reads again
BLOCK_COST = 30.0  # estimated instructions before the first tile of a block of channels, in every step


@dataclass(frozen=True, eq=False)
class Kernel:
    """How a link's band is computed. reads: as in Reading; cost: of a step; weight_bytes: as packed.

    again: what every step but the first costs more.
    """

    reads: Reading
    cost: float
    again: float
    weight_bytes: int


@dataclass(frozen=True, eq=False)
class Made:
    """A kernel with its constants. function: PrimFunc (x, [residual,] constants..., y)."""

    function: Any
    constants: list[np.ndarray]
    reads: Reading
    name: str


@dataclass(frozen=True, eq=False)
class Means:
    """What a layer's bands are computed by: `estimate` says how, `make` does it."""

    estimate: Callable[[Link], Kernel]
    make: Callable[[Link, Choose], Made]


def means_of(layer: WeightedSum, target: Any) -> Means | None:
    """None for layers that a chain cannot have, or that the target has no instruction for."""
    if isinstance(layer, DepthwiseConv2d):
        taps = best_instruction(layer, target.features)
        return None if taps is None else Means(lambda link: depthwise_estimate(link, target), lambda link, choose: depthwise_made(link, target, choose))
    whole = contraction_of(layer)
    parts = {isa: len(parts_of(whole, isa)) for isa in instructions_for(whole, target.features)} if whole is not None else {}
    if not parts:
        return None
    return Means(lambda link: contraction_estimate(link, parts, target), lambda link, choose: contraction_made(link, target, choose))


def contraction_reads(c: Contraction, isa: DotProduct, pixels: int) -> Reading:
    *_, elements, copied = x_layout(c, isa, pixels)
    return Reading(isa.x_dtype, isa.x_offset if isa.x_dtype == "uint8" else 0, elements, copied)


def contraction_estimate(link: Link, parts: dict[DotProduct, int], target: Any) -> Kernel:
    """The best kernel. parts: of the instructions, as `cheapest` takes them."""
    c = link.band
    assert isinstance(c, Contraction)
    found = cheapest(c, tuple(parts), target.optimize == "size", parts)
    assert found is not None
    estimate, isa, pixels, vectors = found
    reads = contraction_reads(c, isa, pixels)
    size = weight_bytes(c, isa, parts[isa], vectors)
    again = size * STREAM_COST + c.groups * math.ceil(c.group_channels / (vectors * isa.lanes)) * BLOCK_COST
    if turns(c, isa, parts[isa]) <= isa.short:  # LLVM keeps a block's weights where it can reach them all, on the stack
        again += 2 * size / (isa.lanes * ITEM_BYTES[isa.acc_dtype])
    return Kernel(reads, estimate - reads.copied * reads.elements * COPY_COST, again, size)


def contraction_made(link: Link, target: Any, choose: Choose) -> Made:
    c = link.band
    assert isinstance(c, Contraction)
    plan = make_plan(c, instructions_for(c, target.features), choose, target.optimize == "size")
    assert plan is not None
    values = [per_group(v, c.groups, plan.channels) for v in (bias_of(c, plan.isa), *(v for _, v in epilogue_constants(c.epilogue, c.out[3])))]
    return Made(contraction_kernel(c, plan, values[1:], choose), [pack_weights(c, plan), *values], contraction_reads(c, plan.isa, plan.tile.pixels), plan.name)


def depthwise_tile(link: Link, target: Any, choose: Choose) -> tuple[DepthwiseConv2d, Tile]:
    assert isinstance(link.band, DepthwiseConv2d)
    isa = best_instruction(link.band, target.features)
    assert isa is not None
    return link.band, choose_tile(link.band, isa, choose)


def depthwise_reads(link: Link, tile: Tile) -> Reading:
    """Tiles read beyond a pixel's channels, a row's pixels and the image: what they make of that is not stored, or has zero weights."""
    assert isinstance(link.band, DepthwiseConv2d)
    rows, columns, channels = extent(link.band, tile)
    _, _, width, pixel = link.image
    elements = ((rows - 1) * width + columns - 1) * pixel + channels
    return Reading(link.types[0], 0, elements, not link.slack and elements > math.prod(link.image), ((rows, columns, channels), (width * pixel, pixel, 1)))


def depthwise_estimate(link: Link, target: Any) -> Kernel:
    band, tile = depthwise_tile(link, target, choose_default)
    size = packed_bytes(band, tile)
    return Kernel(depthwise_reads(link, tile), estimated_cost(band, tile), size * STREAM_COST + BLOCK_COST, size)


def depthwise_made(link: Link, target: Any, choose: Choose) -> Made:
    band, tile = depthwise_tile(link, target, choose)
    reads, constants = depthwise_reads(link, tile), constants_of(band, tile)
    assert reads.view is not None
    return Made(depthwise_kernel(band, tile, (1, *reads.view[0]), constants, target, choose), constants, reads, tile.name)
