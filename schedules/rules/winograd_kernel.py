"""The kernel of a Winograd convolution: blocks of tiles are transformed, multiplied and transformed back while they are in the cache.

V[p, t, c] = B' x B of tile t              for the points p of a tile, the tiles t of a block, the channels c
M[p, t, o] = sum over c of V[p, t, c] * U[o, p, c], modulo 2^32, for a block of output channels o
y          = epilogue(bias[o] + (scale * A)' M (scale * A) / scale^2), the quotient exact modulo 2^32
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.loops import round_up
from nnc_tvm.schedules.operators.operator import ITEM_BYTES
from nnc_tvm.schedules.rules.contraction_plan import Contraction
from nnc_tvm.schedules.rules.winograd_plan import CACHE_LINE, WinogradPlan, image_layout
from nnc_tvm.schedules.rules.winograd_rows import multiply_rows
from nnc_tvm.schedules.rules.winograd_tiles import Zone
from nnc_tvm.schedules.rules.winograd_transforms import transform_input, transform_output, transform_weights
from nnc_tvm.schedules.statements import condition


def winograd_kernel(c: Contraction, plan: WinogradPlan, epilogue_values: Sequence[np.ndarray], w_dtype: str, out_dtype: str) -> Any:
    """PrimFunc (x, [residual (N, OH, OW, O),] weights, bias (O,), *epilogue_values (O,), V, M, [U,] y), O rounded up to whole blocks.

    x: images of `image_layout`. weights: `WinogradPlan.packed_shape` of w_dtype. V, M, U: scratch.
    """
    isa, (rows, row) = plan.isa, image_layout(c.image[3], plan)
    n, channels = c.out[0], round_up(c.out[3], plan.block)
    with IRBuilder() as builder:
        with T.prim_func(s_tir=True):
            T.func_attr({"tirx.noalias": True})
            x = T.arg("x", T.buffer((n * rows * row,), c.x_dtype))
            residual = T.arg("residual", T.buffer(c.out, "int8")) if c.residual else None
            weights = T.arg("weights", T.buffer(plan.packed_shape(c.out[3]), w_dtype))
            bias = T.arg("bias", T.buffer((channels,), isa.acc_dtype))
            values = [T.arg(f"epilogue_{i}", T.buffer((channels,), str(v.dtype))) for i, v in enumerate(epilogue_values)]
            v, m = [T.arg(name, T.buffer((size,), dtype)) for name, size, dtype in zip("vm", plan.scratch, (isa.x_dtype, isa.acc_dtype), strict=True)]
            u = T.arg("u", T.buffer(plan.u_shape, isa.w_dtype)) if plan.u_shape else weights
            y = T.arg("y", T.buffer(c.out, out_dtype))
            with T.sblock("winograd"):
                T.reads()
                T.writes()
                with T.parallel(1 if plan.fits else math.ceil(plan.tiles / plan.group)) as b:
                    @contextmanager
                    def every(kind: int) -> Iterator[tuple[Any, tuple[Any, Any, Any]]]:
                        """(number, place) of the block's tiles of a kind, one after the other."""
                        if plan.fits:
                            with T.serial(plan.kinds[kind].count) as t:
                                yield t, plan.kinds[kind].place(t)
                        else:
                            with T.serial(plan.group) as t, condition(b * plan.group + t < plan.tiles, plan.tiles % plan.group):
                                yield t, plan.kinds[kind].place(b * plan.group + t)

                    for kind in range(len(plan.kinds)):
                        with every(kind) as (t, place):
                            transform_input(c, plan, x, v, kind, t, place)
                    with T.parallel(plan.packed_shape(c.out[3])[0]) as o:
                        if plan.in_registers:
                            multiply_rows(plan, v, weights, m, o)
                        else:
                            with T.serial(plan.steps // (plan.chunk or plan.steps)) as part:
                                if plan.chunk:
                                    transform_weights(plan, weights, u, o, part)
                                for zone in plan.zones:
                                    multiply(plan, zone, v, weights, u, m, o, part)
                        for kind in range(len(plan.kinds)):
                            with every(kind) as (t, place):
                                transform_output(c, plan, m, (bias, *values), residual, y, kind, t, place, o)
        return builder.get()


def multiply(plan: WinogradPlan, zone: Zone, v: Any, weights: Any, u: Any, m: Any, o: Any, chunk: Any) -> None:
    """M of a zone and of block o of the output channels: a matrix product for every point, of all steps or of those of a chunk, which are added."""
    isa, tile = plan.isa, replace(plan.tile, pixels=plan.pixels(zone))
    step = tile.steps * isa.depth
    span = (tile.pixels - 1) * tile.stride + step
    shape = (tile.pixels, tile.vectors, isa.lanes)
    groups = math.ceil(zone.tiles / tile.pixels)
    with T.serial(zone.points) as number, T.serial(groups) as g:
        p = zone.first + number
        acc = T.sblock_alloc_buffer(shape, isa.acc_dtype, scope="local")
        every = [(q, w) for q in range(tile.pixels) for w in range(tile.vectors)]

        def place(q: int, w: int, p: Any = p, g: Any = g) -> Any:
            return ((p * plan.group + g * tile.pixels + q) * tile.vectors + w) * isa.lanes

        steps, dtype = plan.chunk or plan.steps, f"{isa.acc_dtype}x{isa.lanes}"
        if plan.chunk and plan.ahead:
            before = sum(each.points * math.ceil(each.tiles / plan.pixels(each)) for each in plan.zones if each.first < zone.first)
            prefetch_chunk(plan, weights, o, chunk, before + number * groups + g)
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
            factors = T.match_buffer(u[part], (tile.steps, *plan.step_shape), isa.w_dtype, offset_factor=1)
            if plan.ahead and not plan.chunk:  # every group of tiles asks for its share of the weights that come later
                prefetch(plan, u, (o, p, (g * (plan.depth // step) + k) // groups * tile.steps))
            isa.emit(tile, elements, factors, acc)
        for q, w in every:
            T.buffer_store(m, acc.vload([q, w, 0], dtype), [T.ramp(place(q, w), 1, isa.lanes)])


def prefetch(plan: WinogradPlan, u: Any, index: tuple[Any, Any, Any]) -> None:
    """Asks for the weights `plan.ahead` bytes behind those of the step at `index`, which may be beyond the last."""
    block, point, step = index
    step_bytes = ITEM_BYTES[plan.isa.w_dtype] * math.prod(int(extent) for extent in u.shape[3:])
    for line in range(0, plan.tile.steps * step_bytes, CACHE_LINE):
        later = step + (plan.ahead + line) // step_bytes
        T.evaluate(T.call_llvm_intrin("void", "llvm.prefetch.p0", T.address_of(u[block, point, later, 0, 0, 0, 0]), 0, 3, 1))


def prefetch_chunk(plan: WinogradPlan, weights: Any, o: Any, chunk: Any, number: Any) -> None:
    """Asks for the share that product `number` of a chunk has in the weights of the next chunk, which may be beyond the last."""
    products = sum(zone.points * math.ceil(zone.tiles / plan.pixels(zone)) for zone in plan.zones)
    a_step = math.prod(int(extent) for extent in weights.shape[2:])
    lines = math.ceil(plan.chunk * a_step * ITEM_BYTES[str(weights.dtype)] / CACHE_LINE)
    flat = T.decl_buffer((math.prod(int(extent) for extent in weights.shape),), weights.dtype, data=weights.data)
    share = math.ceil(lines / products)
    for line in range(share):
        element = (o * plan.steps + (chunk + 1) * plan.chunk) * a_step + (number * share + line) * (CACHE_LINE // ITEM_BYTES[str(weights.dtype)])
        T.evaluate(T.call_llvm_intrin("void", "llvm.prefetch.p0", T.address_of(flat[element]), 0, 2, 1))
