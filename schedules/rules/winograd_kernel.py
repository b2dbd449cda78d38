"""The kernel of a Winograd convolution: blocks of tiles are transformed, multiplied and transformed back while they are in the cache.

V[p, t, c] = B' x B of tile t              for the points p of a tile, the tiles t of a block, the channels c
M[p, t, o] = sum over c of V[p, t, c] * U[o, p, c], modulo 2^32, for a block of output channels o
y          = epilogue(bias[o] + (scale * A)' M (scale * A) / scale^2), the quotient exact modulo 2^32
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.epilogue import requantize
from nnc_tvm.schedules.isa import DotProduct, Tile
from nnc_tvm.schedules.loops import round_up
from nnc_tvm.schedules.modular import Modular
from nnc_tvm.schedules.operators.operator import ITEM_BYTES
from nnc_tvm.schedules.rules.contraction_plan import Contraction, store_width
from nnc_tvm.schedules.rules.residual import store_channels
from nnc_tvm.schedules.rules.winograd_forms import Transform, WinogradForm

CACHE_LINE = 64  # bytes


@dataclass(frozen=True, eq=False)
class WinogradPlan:
    """isa and tile multiply int16 by int16 or floats (a tile's `pixels` are Winograd tiles). group: Winograd tiles of a block, a multiple of the pixels.

    lanes: of the instruction's inputs in a vector register. depth: input channels, rounded up to whole steps. ahead: bytes that weights are
    prefetched by, 0 for none. chunk: steps of the instruction's depth whose weights are transformed at once, while they are in the cache; 0 where they
    come transformed.
    """

    form: WinogradForm
    isa: DotProduct
    tile: Tile
    group: int
    lanes: int
    depth: int
    ahead: int = 0
    chunk: int = 0

    @property
    def block(self) -> int:
        """Output channels of a block."""
        return self.tile.vectors * self.isa.lanes

    @property
    def name(self) -> str:
        return f"winograd {self.form.name} {self.isa.name} {self.tile.pixels}x{self.block}{' +weights' if self.chunk else ''}"

    @property
    def scratch(self) -> tuple[int, int]:
        """Elements of V and M."""
        points = self.form.points**2
        return points * self.pitch, points * self.group * self.block

    @property
    def pitch(self) -> int:
        """Elements of V from one point to the next, a line longer than its tiles: at a power of two all points would meet in one set of the cache."""
        return self.group * self.depth + CACHE_LINE // ITEM_BYTES[self.isa.x_dtype]

    @property
    def step_shape(self) -> tuple[int, ...]:
        """The weights of a step: (vectors, depth / group, lanes, group)."""
        return self.tile.vectors, *self.isa.weight_shape

    @property
    def steps(self) -> int:
        """Of the instruction's depth."""
        return self.depth // self.isa.depth

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """U of a chunk, a step longer as V is a line."""
        return self.form.points**2, self.chunk + 1, *self.step_shape

    def packed_shape(self, channels: int) -> tuple[int, ...]:
        """The weights as the kernel reads them: U (blocks, points, steps, *step_shape), or what it is made of (blocks, steps, taps, elements of a step)."""
        blocks = math.ceil(channels / self.block)
        if self.chunk:
            return blocks, self.steps, self.form.taps**2, math.prod(self.step_shape)
        return blocks, self.form.points**2, self.steps, *self.step_shape


def tiles_of(c: Contraction, form: WinogradForm) -> tuple[int, int, int]:
    """(images, tile rows, tiles of a row)."""
    return c.out[0], math.ceil(c.out[1] / form.m), math.ceil(c.out[2] / form.m)


def image_layout(c: Contraction, form: WinogradForm) -> tuple[int, int]:
    """(rows, elements of a row) of the image that whole tiles read."""
    _, down, across = tiles_of(c, form)
    return down * form.m + form.taps - 1, (across * form.m + form.taps - 1) * c.image[3]


def winograd_kernel(c: Contraction, plan: WinogradPlan, epilogue_values: Sequence[np.ndarray], w_dtype: str, out_dtype: str) -> Any:
    """PrimFunc (x, [residual (N, OH, OW, O),] weights, bias (O,), *epilogue_values (O,), V, M, [U,] y), O rounded up to whole blocks.

    x: images of `image_layout`. weights: `WinogradPlan.packed_shape` of w_dtype. V, M, U: scratch.
    """
    form, isa = plan.form, plan.isa
    n, down, across = tiles_of(c, form)
    rows, row = image_layout(c, form)
    tiles, channels = n * down * across, round_up(c.out[3], plan.block)
    with IRBuilder() as builder:
        with T.prim_func(s_tir=True):
            T.func_attr({"tirx.noalias": True})
            x = T.arg("x", T.buffer((n * rows * row,), c.x_dtype))
            residual = T.arg("residual", T.buffer(c.out, "int8")) if c.residual else None
            weights = T.arg("weights", T.buffer(plan.packed_shape(c.out[3]), w_dtype))
            bias = T.arg("bias", T.buffer((channels,), isa.acc_dtype))
            values = [T.arg(f"epilogue_{i}", T.buffer((channels,), str(v.dtype))) for i, v in enumerate(epilogue_values)]
            v, m = [T.arg(name, T.buffer((size,), dtype)) for name, size, dtype in zip("vm", plan.scratch, (isa.x_dtype, isa.acc_dtype), strict=True)]
            u = T.arg("u", T.buffer(plan.chunk_shape, isa.w_dtype)) if plan.chunk else weights
            y = T.arg("y", T.buffer(c.out, out_dtype))
            with T.sblock("winograd"):
                T.reads()
                T.writes()
                with T.parallel(math.ceil(tiles / plan.group)) as b:
                    def place(t: Any) -> tuple[Any, Any, Any]:
                        number = b * plan.group + t
                        return number // (down * across), number // across % down, number % across

                    with T.serial(plan.group) as t, condition(b * plan.group + t < tiles, tiles % plan.group):
                        transform_input(c, plan, x, v, t, place(t))
                    with T.parallel(plan.packed_shape(c.out[3])[0]) as o:
                        with T.serial(plan.steps // (plan.chunk or plan.steps)) as part:
                            if plan.chunk:
                                transform_weights(plan, weights, u, o, part)
                            multiply(plan, v, u, m, o, part)
                        with T.serial(plan.group) as t, condition(b * plan.group + t < tiles, tiles % plan.group):
                            transform_output(c, plan, m, (bias, *values), residual, y, t, place(t), o)
        return builder.get()


@contextmanager
def condition(test: Any, needed: Any) -> Iterator[None]:
    """`if test`, where it is needed."""
    if needed:
        with T.If(test), T.Then():
            yield
    else:
        yield


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


def store(buffer: Any, value: Any, *index: int) -> None:
    """buffer[*index] = value, a vector of the buffer's innermost extent."""
    T.buffer_store(buffer, value, [*index, T.ramp(0, 1, int(buffer.shape[-1]))])


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
    flat = T.decl_buffer((math.prod(plan.chunk_shape),), dtype, data=u.data)
    with T.serial(plan.chunk) as k, T.serial(elements // lanes) as vector:
        loaded, between = [T.sblock_alloc_buffer((taps, extent, lanes), dtype, scope="local") for extent in (taps, form.points)]
        for r, s in product(range(taps), range(taps)):
            raw = weights.vload([o, part * plan.chunk + k, r * taps + s, vector * lanes], f"{weights.dtype}x{lanes}")
            store(loaded, T.Cast(f"{dtype}x{lanes}", raw), r, s)
        transformed = transform_square(form.weight_transform, loaded, between, taps, f"{dtype}x{lanes}")
        for p, value in by_columns(transformed):
            T.buffer_store(flat, value.value, [T.ramp((p * (plan.chunk + 1) + k) * elements + vector * lanes, 1, lanes)])


def multiply(plan: WinogradPlan, v: Any, u: Any, m: Any, o: Any, chunk: Any) -> None:
    """M of block o of the output channels: a matrix product for every point, of all steps or of those of a chunk, which are added."""
    isa, tile = plan.isa, plan.tile
    step = tile.steps * isa.depth
    span = (tile.pixels - 1) * tile.stride + step
    shape = (tile.pixels, tile.vectors, isa.lanes)
    with T.serial(plan.form.points**2) as p, T.serial(plan.group // tile.pixels) as g:
        acc = T.sblock_alloc_buffer(shape, isa.acc_dtype, scope="local")
        every = [(q, w) for q in range(tile.pixels) for w in range(tile.vectors)]

        def place(q: int, w: int, p: Any = p, g: Any = g) -> Any:
            return ((p * plan.group + g * tile.pixels + q) * tile.vectors + w) * isa.lanes

        steps, dtype = plan.chunk or plan.steps, f"{isa.acc_dtype}x{isa.lanes}"
        for q, w in every:
            start = T.broadcast(tirx.const(0, isa.acc_dtype), isa.lanes)
            if steps < plan.steps:
                start = tirx.Select(chunk == 0, start, m.vload([place(q, w)], dtype))
            T.buffer_store(acc, start, [q, w, T.ramp(0, 1, isa.lanes)])
        with T.serial(steps // tile.steps) as k, T.sblock("step"):
            T.reads()
            T.writes()
            start = p * plan.pitch + g * tile.pixels * plan.depth + (chunk * steps * isa.depth) + k * step
            elements = T.match_buffer(v[start : start + span], (span,), isa.x_dtype, offset_factor=1)
            block = () if plan.chunk else (slice(o, o + 1),)
            part = (*block, slice(p, p + 1), slice(k * tile.steps, (k + 1) * tile.steps), *(slice(0, extent) for extent in plan.step_shape))
            weights = T.match_buffer(u[part], (tile.steps, *plan.step_shape), isa.w_dtype, offset_factor=1)
            if plan.ahead:  # every group of tiles asks for its share of the weights that come later
                prefetch(plan, u, (o, p, (g * (plan.depth // step) + k) // (plan.group // tile.pixels) * tile.steps))
            isa.emit(tile, elements, weights, acc)
        for q, w in every:
            T.buffer_store(m, acc.vload([q, w, 0], dtype), [T.ramp(place(q, w), 1, isa.lanes)])


def prefetch(plan: WinogradPlan, u: Any, index: tuple[Any, Any, Any]) -> None:
    """Asks for the weights `plan.ahead` bytes behind those of the step at `index`, which may be beyond the last."""
    block, point, step = index
    step_bytes = ITEM_BYTES[plan.isa.w_dtype] * math.prod(int(extent) for extent in u.shape[3:])
    for line in range(0, plan.tile.steps * step_bytes, CACHE_LINE):
        later = step + (plan.ahead + line) // step_bytes
        T.evaluate(T.call_llvm_intrin("void", "llvm.prefetch.p0", T.address_of(u[block, point, later, 0, 0, 0, 0]), 0, 3, 1))


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
