"""The kernel of a convolution or dense layer over lists of windows, read at run time.

acc[p, o] = bias[o] + sum over k in [first[o / B], first[o / B + 1]), s < shared, t < taps of
    x[pixel p + starts[k, s] + place[k, s, o % B, t]] * values[k, s, o % B, t]
place[k, s, o, t] = places[k, o, t], or of N:M (places[k, o, t] >> 2 * s & 3) + bases[which[k, s], t]
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.rules.block_sparse_kernel import store
from nnc_tvm.schedules.rules.window_plan import Slot, WindowPlan

NAMES = ("values", "places", "starts", "first", "bases", "which")


def window_kernel(plan: WindowPlan, epilogue_values: Sequence[np.ndarray], out_dtype: str) -> Any:
    """PrimFunc (x, [residual,] values, places, starts, first, [bases, which,] bias (O,), *epilogue_values (O,), y), O rounded up to whole blocks.

    x: as `WindowPlan.layout` says. values to which: as `WindowPlan.pack` makes them.
    """
    c, isa, tile = plan.c, plan.isa, plan.tile
    (n, oh, ow, _), blocks = c.out, plan.blocks
    rows, row, elements, _ = plan.layout
    with IRBuilder() as builder:
        with T.prim_func(s_tir=True):
            T.func_attr({"tirx.noalias": True})
            x = T.arg("x", T.buffer((elements,), isa.x_dtype))
            residual = T.arg("residual", T.buffer(c.out, "int8")) if c.residual else None
            packed = tuple(T.arg(name, T.buffer(array.shape, str(array.dtype))) for name, array in zip(NAMES, plan.pack(), strict=False))
            first = packed[3]
            bias = T.arg("bias", T.buffer((blocks * plan.block,), isa.acc_dtype))
            parameters = [T.arg(f"epilogue_{i}", T.buffer((blocks * plan.block,), str(v.dtype))) for i, v in enumerate(epilogue_values)]
            y = T.arg("y", T.buffer(c.out, out_dtype))
            with T.sblock("windows"):
                T.reads()
                T.writes()
                # a row of x and the weights of a block stay in the first cache while the row's pixels pass
                with T.serial(n) as b, T.parallel(oh) as i, T.parallel(blocks) as o, T.parallel(math.ceil(ow / tile.pixels)) as j:
                    acc = T.sblock_alloc_buffer((tile.pixels, tile.vectors, isa.lanes), isa.acc_dtype, scope="local")
                    start = (b * rows + i * c.strides[0]) * row + j * (tile.pixels * tile.stride)
                    for v, p in product(range(tile.vectors), range(tile.pixels)):
                        initial = bias.vload([o * plan.block + v * isa.lanes], f"{isa.acc_dtype}x{isa.lanes}")
                        T.buffer_store(acc, initial, [p, v, T.ramp(0, 1, isa.lanes)])
                    with T.serial(first[o + 1] - first[o]) as k:
                        for s in range(plan.shared):
                            slot = Slot(plan, packed, first[o] + k, s)
                            add_slot(plan, x, slot, start + slot.start, acc)
                    store(c, plan, acc, parameters, residual, y, (b, i, j, o))
        return builder.get()


def add_slot(plan: WindowPlan, x: Any, slot: Slot, place: Any, acc: Any) -> None:
    """acc += what the slot picks of the windows, the first pixel's at x[place]."""
    isa, tile = plan.isa, plan.tile
    span = (tile.pixels - 1) * tile.stride + isa.depth
    with T.sblock("slot"):
        T.reads()
        T.writes()
        isa.emit(tile, T.match_buffer(x[place : place + span], (span,), isa.x_dtype, offset_factor=1), slot, acc)
