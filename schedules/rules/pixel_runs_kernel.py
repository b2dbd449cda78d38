"""The kernel of a convolution over runs of weights whose sums fit int16, on planes of bytes.

y[o, q] = epilogue(bias[o] + sum over runs of int16(sum over the run's k of x[places[k] + q] * weights[k])) of the planes of q's tile

The runs of an output channel come length by length: those of length lengths[i] begin at entry first[i, o] and end at first[i, o + 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.intrin.neon import ARITHMETIC, neon
from nnc_tvm.schedules.rules.contraction_plan import Contraction
from nnc_tvm.schedules.rules.pixel_plan import Planes
from nnc_tvm.schedules.rules.pixel_store import store_pixels

LANES = 4
PIXELS = 16  # of a vector of bytes


def pixel_runs_kernel(c: Contraction, planes: Planes, lengths: Sequence[int], entries: int, epilogue_values: Sequence[np.ndarray], out_dtype: str) -> Any:
    """PrimFunc (x, weights, places, first (len(lengths), O + 1), bias (O,), *epilogue_values (O,), y (O * line,))."""
    out, vectors, line = c.out[3], planes.tile.vectors, planes.line
    with IRBuilder() as builder:
        with T.prim_func(s_tir=True):
            T.func_attr({"tirx.noalias": True})
            x = T.arg("x", T.buffer((planes.tiles * planes.tile_cells,), "int8"))
            weights = T.arg("weights", T.buffer((entries,), "int8"))
            places = T.arg("places", T.buffer((entries,), planes.place_dtype))
            first = T.arg("first", T.buffer((len(lengths), out + 1), "int32"))
            bias = T.arg("bias", T.buffer((out,), "int32"))
            values = [T.arg(f"epilogue_{i}", T.buffer((out,), str(v.dtype))) for i, v in enumerate(epilogue_values)]
            y = T.arg("y", T.buffer((out * line,), out_dtype))
            with T.sblock("pixel_runs"):
                T.reads()
                T.writes()
                with T.parallel(planes.tiles) as t, T.parallel(out) as o:  # the pixels of a tile stay in the first cache
                    acc = T.sblock_alloc_buffer((vectors, LANES), "int32", scope="local")
                    for v in range(vectors):
                        T.buffer_store(acc, T.broadcast(bias[o], LANES), [v, T.ramp(0, 1, LANES)])
                    entry = T.sblock_alloc_buffer((1,), "int32", scope="local")
                    for i, length in enumerate(lengths):
                        T.buffer_store(entry, first[i, o], [0])
                        with T.While(entry[0] < first[i, o + 1]):
                            add_run(acc, x, weights, places, entry[0], t * planes.tile_cells, length)
                            T.buffer_store(entry, entry[0] + length, [0])
                    store_pixels(c, ARITHMETIC, lambda v, lane: acc[v, lane], (vectors, LANES), [value[o] for value in values], y,
                                 o * line + t * planes.tile_pixels)
        return builder.get()


def add_run(acc: Any, x: Any, weights: Any, places: Any, entry: Any, tile_start: Any, length: int) -> None:
    """acc += the sums of `length` entries from `entry` on, vector by vector of pixels."""
    starts = T.sblock_alloc_buffer((length,), "int64", scope="local")
    for d in range(length):
        T.buffer_store(starts, T.Cast("int64", places[entry + d]) + T.Cast("int64", tile_start), [d])
    for g in range(int(acc.shape[0]) * LANES // PIXELS):
        pairs = [(x.vload([starts[d] + PIXELS * g], f"int8x{PIXELS}"), T.broadcast(weights[entry + d], PIXELS)) for d in range(length)]
        for h, half in enumerate((T.vectorlow, T.vectorhigh)):
            total = reduce(add, [neon("smull", "int16x8", half("int8x8", row), half("int8x8", weight)) for row, weight in pairs])
            held = T.sblock_alloc_buffer((8,), "int16", scope="local")
            T.buffer_store(held, total, [T.ramp(0, 1, 8)])
            for q, quarter in enumerate((T.vectorlow, T.vectorhigh)):
                v = 4 * g + 2 * h + q
                wide = T.Cast("int32x4", quarter("int16x4", held.vload([0], "int16x8")))
                T.buffer_store(acc, acc.vload([v, 0], "int32x4") + wide, [v, T.ramp(0, 1, LANES)])
