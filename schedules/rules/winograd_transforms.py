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
from nnc_tvm.schedules.rules.winograd_forms import Transform
from nnc_tvm.schedules.rules.winograd_plan import WinogradPlan, image_layout
from nnc_tvm.schedules.statements import condition, store


def transform_square(transform: Transform, square: Any, between: Any, points: int, dtype: str) -> list[list[Modular]]:
    """`transform` on the rows and then on the columns of a square of `points` x `points` vectors; `between` holds what lies between."""
    for r in range(points):
        line = transform([Modular(square.vload([r, s, 0], dtype)) for s in range(points)])
        for s, value in enumerate(line):
            store(between, value.value, r, s)
    columns = [transform([Modular(between.vload([r, s, 0], dtype)) for r in range(points)]) for s in range(len(line))]
    return [list(line) for line in zip(*columns, strict=True)]


def by_columns(square: list[list[Modular]]) -> Iterator[tuple[int, Modular]]:
    """(number row by row, value), in the order of their computation: fewer wait in registers."""
    for s, r in product(range(len(square[0])), range(len(square))):
        yield r * len(square[0]) + s, square[r][s]


def transform_input(c: Contraction, plan: WinogradPlan, x: Any, v: Any, t: Any, place: tuple[Any, Any, Any]) -> None:
    """V of tile t, a vector of channels at a time; the last vector overlaps the one before where the channels fill none."""
    form, channels, dtype = plan.form, c.image[3], plan.isa.x_dtype
    rows, row = image_layout(c, form)
    image, i, j = place
    lanes = min(plan.lanes, 1 << int(math.log2(channels)))
    a = form.points
    with T.serial(math.ceil(channels / lanes)) as k:
        first = T.min(k * lanes, channels - lanes) if channels % lanes else k * lanes
        loaded, between = [T.sblock_alloc_buffer((a, a, lanes), dtype, scope="local") for _ in range(2)]
        for r, s in product(range(a), range(a)):
            element = (image * rows + i * form.m + r) * row + (j * form.m + s) * channels + first
            store(loaded, T.Cast(f"{dtype}x{lanes}", x.vload([element], f"{c.x_dtype}x{lanes}")), r, s)
        transformed = transform_square(form.input_transform, loaded, between, a, f"{dtype}x{lanes}")
        for p, value in by_columns(transformed):
            T.buffer_store(v, value.value, [T.ramp(p * plan.pitch + t * plan.depth + first, 1, lanes)])


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
        transformed = transform_square(form.weight_transform, loaded, between, taps, f"{dtype}x{lanes}")
        for p, value in by_columns(transformed):
            T.buffer_store(flat, value.value, [T.ramp((p * (plan.chunk + 1) + k) * elements + vector * lanes, 1, lanes)])


def transform_output(c: Contraction, plan: WinogradPlan, m: Any, parameters: Sequence[Any], residual: Any, y: Any, t: Any,
                     place: tuple[Any, Any, Any], o: Any) -> None:
    """Tile t of block o of the output channels."""
    form, isa, tile = plan.form, plan.isa, plan.tile
    (_, oh, ow, channels), lanes, a = c.out, plan.isa.lanes, plan.form.points
    image, i, j = place
    integer = isa.acc_dtype == "int32"
    held = T.sblock_alloc_buffer((form.m, form.m, plan.block), "int16" if str(y.dtype) == "int8" else "float32", scope="local")
    with T.serial(tile.vectors) as w:
        loaded, between, sums = [T.sblock_alloc_buffer((*extents, lanes), isa.acc_dtype, scope="local") for extents in ((a, a), (a, form.m), (form.m, form.m))]
        for r, s in product(range(a), range(a)):
            element = (((r * a + s) * plan.group + t) * tile.vectors + w) * lanes
            store(loaded, m.vload([element], f"{isa.acc_dtype}x{lanes}"), r, s)
        transformed = transform_square(form.output_transform, loaded, between, a, f"{isa.acc_dtype}x{lanes}")
        for s, r in product(range(form.m), range(form.m)):
            store(sums, (transformed[r][s] * form.odd_inverse if integer else transformed[r][s]).value, r, s)
        for r, s in product(range(form.m), range(form.m)):
            with T.vectorized(lanes) as lane:
                bias, *values = [parameter[o * plan.block + w * lanes + lane] for parameter in parameters]
                total = (sums[r, s, lane] >> form.shift if integer else sums[r, s, lane]) + bias
                T.buffer_store(held, requantize(c.epilogue, total, values, isa.arithmetic), [r, s, w * lanes + lane])
    width = store_width(c, plan.block)
    for r in range(form.m):
        for s in range(form.m):
            inside = T.And(i * form.m + r < oh, j * form.m + s < ow)
            with condition(inside, oh % form.m or ow % form.m), T.serial(plan.block // width) as k:
                first = o * plan.block + k * width
                with condition(first < channels, channels % plan.block):
                    store_channels(c, isa, width, held, (r, s, k * width), residual, y, (image, i * form.m + r, j * form.m + s, first))
