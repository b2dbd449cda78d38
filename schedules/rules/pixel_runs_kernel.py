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
from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.intrin.neon import ARITHMETIC, neon
from nnc_tvm.schedules.rules.contraction_plan import Contraction
from nnc_tvm.schedules.rules.pixel_kernel import Vectors, pixel_kernel
from nnc_tvm.schedules.rules.pixel_plan import Planes

LANES = 4
PIXELS = 16  # of a vector of bytes


def pixel_runs_kernel(c: Contraction, planes: Planes, lengths: Sequence[int], entries: int, epilogue_values: Sequence[np.ndarray], out_dtype: str) -> Any:
    """PrimFunc (x, weights, places, first (len(lengths), O + 1), bias (O,), *epilogue_values (O,), y (O * line,))."""
    lists = {"weights": ((entries,), "int8"), "places": ((entries,), planes.place_dtype), "first": ((len(lengths), c.out[3] + 1), "int32")}

    def accumulate(acc: Any, x: Any, weights: Any, places: Any, first: Any, t: Any, o: Any) -> Any:
        entry = T.sblock_alloc_buffer((1,), "int32", scope="local")
        for i, length in enumerate(lengths):
            T.buffer_store(entry, first[i, o], [0])
            with T.While(entry[0] < first[i, o + 1]):
                add_run(acc, x, weights, places, entry[0], t * planes.tile_cells, length)
                T.buffer_store(entry, entry[0] + length, [0])
        return acc

    return pixel_kernel("pixel_runs", c, planes, Vectors("int8", "int32", LANES, ARITHMETIC), lists, epilogue_values, out_dtype, accumulate)


def add_run(acc: Any, x: Any, weights: Any, places: Any, entry: Any, tile_start: Any, length: int) -> None:
    """acc += the sums of `length` entries from `entry` on, vector by vector of pixels."""
    starts = T.sblock_alloc_buffer((length,), "int64", scope="local")
    for d in range(length):
        T.buffer_store(starts, T.Cast("int64", places[entry + d]) + T.Cast("int64", tile_start), [d])
    for g in range(int(acc.shape[1]) * LANES // PIXELS):
        pairs = [(x.vload([starts[d] + PIXELS * g], f"int8x{PIXELS}"), T.broadcast(weights[entry + d], PIXELS)) for d in range(length)]
        for h, half in enumerate((T.vectorlow, T.vectorhigh)):
            total = reduce(add, [neon("smull", "int16x8", half("int8x8", row), half("int8x8", weight)) for row, weight in pairs])
            held = T.sblock_alloc_buffer((8,), "int16", scope="local")
            T.buffer_store(held, total, [T.ramp(0, 1, 8)])
            for q, quarter in enumerate((T.vectorlow, T.vectorhigh)):
                v = 4 * g + 2 * h + q
                wide = T.Cast("int32x4", quarter("int16x4", held.vload([0], "int16x8")))
                T.buffer_store(acc, acc.vload([0, v, 0], "int32x4") + wide, [0, v, T.ramp(0, 1, LANES)])
