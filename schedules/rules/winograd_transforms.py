"""The transforms of a Winograd kernel: of a tile of the image, of the weights of a chunk, and back to the output."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.epilogue import requantize
from nnc_tvm.schedules.modular import Modular
from nnc_tvm.schedules.rules.contraction_plan import Contraction, store_width
from nnc_tvm.schedules.rules.residual import store_channels
from nnc_tvm.schedules.rules.winograd_forms import Transform, division
from nnc_tvm.schedules.rules.winograd_plan import WinogradPlan, image_layout
from nnc_tvm.schedules.statements import condition, store


def transform_sides(down: Transform, across: Transform, held: Any, between: Any, dtype: str) -> list[list[Modular]]:
    """`across` of the rows and then `down` of the columns of the vectors `held`, which are of `dtype`; `between` holds what lies between."""
    rows, columns = [int(extent) for extent in held.shape[:2]]
    for r in range(rows):
        line = across([Modular(held.vload([r, s, 0], dtype)) for s in range(columns)])
        for s, value in enumerate(line):
            store(between, value.value, r, s)
    transformed = [down([Modular(between.vload([r, s, 0], dtype)) for r in range(rows)]) for s in range(len(line))]
    return [list(line) for line in zip(*transformed, strict=True)]


def by_columns(square: list[list[Modular]]) -> Iterator[tuple[tuple[int, int], Modular]]:
    """((row, column), value), in the order of their computation: fewer wait in registers."""
    for s, r in product(range(len(square[0])), range(len(square))):
        yield (r, s), square[r][s]


def transform_input(c: Contraction, plan: WinogradPlan, x: Any, v: Any, kind: int, t: Any, place: tuple[Any, Any, Any]) -> None:
    """V of tile t of a kind, a vector of channels at a time; the last vector overlaps the one before where the channels fill none."""
    tiles, channels, dtype = plan.kinds[kind], c.image[3], plan.isa.x_dtype
    rows, row = image_layout(c.image[3], plan)
    image, top, left = place
    lanes = min(plan.lanes, 1 << int(math.log2(channels)))
    sides = tiles.down.points, tiles.across.points
    with T.serial(math.ceil(channels / lanes)) as k:
        first = T.min(k * lanes, channels - lanes) if channels % lanes else k * lanes
        loaded, between = [T.sblock_alloc_buffer((*sides, lanes), dtype, scope="local") for _ in range(2)]
        for r, s in product(range(sides[0]), range(sides[1])):
            element = (image * rows + top + r) * row + (left + s) * channels + first
            store(loaded, T.Cast(f"{dtype}x{lanes}", x.vload([element], f"{c.x_dtype}x{lanes}")), r, s)
        transformed = transform_sides(tiles.down.input_transform, tiles.across.input_transform, loaded, between, f"{dtype}x{lanes}")
        for point, value in by_columns(transformed):
            start = plan.numbers[point] * plan.pitch + (plan.before(kind, point) + t) * plan.depth + first
            T.buffer_store(v, value.value, [T.ramp(start, 1, lanes)])


def transform_weights(plan: WinogradPlan, weights: Any, u: Any, o: Any, part: Any) -> None:
    """U of a chunk of block o of the output channels: every vector of a step for itself."""
    form, dtype, taps, elements = plan.form, plan.isa.w_dtype, plan.form.taps, math.prod(plan.step_shape)
    lanes = math.gcd(elements, plan.lanes)
    flat = T.decl_buffer((math.prod(plan.u_shape or ()),), dtype, data=u.data)
    with T.serial(plan.chunk) as k, T.serial(elements // lanes) as vector:
        loaded, between = [T.sblock_alloc_buffer((taps, extent, lanes), dtype, scope="local") for extent in (taps, form.points)]
        for r, s in product(range(taps), range(taps)):
            raw = weights.vload([o, part * plan.chunk + k, r * taps + s, vector * lanes], f"{weights.dtype}x{lanes}")
            store(loaded, T.Cast(f"{dtype}x{lanes}", raw), r, s)
        transformed = transform_sides(form.weight_transform, form.weight_transform, loaded, between, f"{dtype}x{lanes}")
        for point, value in by_columns(transformed):
            T.buffer_store(flat, value.value, [T.ramp((plan.numbers[point] * (plan.chunk + 1) + k) * elements + vector * lanes, 1, lanes)])


def transform_output(c: Contraction, plan: WinogradPlan, m: Any, parameters: Sequence[Any], residual: Any, y: Any, kind: int, t: Any,
                     place: tuple[Any, Any, Any], o: Any) -> None:
    """Tile t of a kind and block o of the output channels."""
    form, isa, tile, tiles = plan.form, plan.isa, plan.tile, plan.kinds[kind]
    (_, oh, ow, channels), lanes = c.out, plan.isa.lanes
    image, top, left = place
    integer = isa.acc_dtype == "int32"
    outputs, points = (tiles.down.m, tiles.across.m), (tiles.down.points, tiles.across.points)
    factor, shift = division(tiles.down.scale * tiles.across.scale) if integer else (form.scale**2 // (tiles.down.scale * tiles.across.scale), 0)
    held = T.sblock_alloc_buffer((*outputs, plan.block), "int16" if str(y.dtype) == "int8" else "float32", scope="local")
    with T.serial(tile.vectors) as w:
        loaded, between, sums = [T.sblock_alloc_buffer((*extents, lanes), isa.acc_dtype, scope="local") for extents in
                                 (points, (points[0], outputs[1]), outputs)]
        for point in product(range(points[0]), range(points[1])):
            element = ((plan.numbers[point] * plan.group + plan.before(kind, point) + t) * tile.vectors + w) * lanes
            store(loaded, m.vload([element], f"{isa.acc_dtype}x{lanes}"), *point)
        transformed = transform_sides(tiles.down.output_transform, tiles.across.output_transform, loaded, between, f"{isa.acc_dtype}x{lanes}")
        for s, r in product(range(outputs[1]), range(outputs[0])):
            store(sums, (transformed[r][s] * factor if factor != 1 else transformed[r][s]).value, r, s)
        for r, s in product(range(outputs[0]), range(outputs[1])):
            with T.vectorized(lanes) as lane:
                bias, *values = [parameter[o * plan.block + w * lanes + lane] for parameter in parameters]
                total = (sums[r, s, lane] >> shift if shift else sums[r, s, lane]) + bias
                T.buffer_store(held, requantize(c.epilogue, total, values, isa.arithmetic), [r, s, w * lanes + lane])
    width = store_width(c.group_channels, plan.block)
    end = tiles.end
    for r, s in product(range(outputs[0]), range(outputs[1])):
        with condition(T.And(top + r < oh, left + s < ow), end[0] > oh or end[1] > ow), T.serial(plan.block // width) as k:
            first = o * plan.block + k * width
            with condition(first < channels, channels % plan.block):
                store_channels(c, isa, width, held, (r, s, k * width), residual, y, (image, top + r, left + s, first))
