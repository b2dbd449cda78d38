"""The kernel of a convolution over lists of four weights, on planes of bytes.

y[o, q] = epilogue(bias[o] + sum over k in [first[o], first[o + 1]), d < 4 of x[places[k, d] + q] * weights[k, d]) of the planes of q's tile

Stepping, the place is places[at[d % streams]] instead, where at[d % streams] grows by steps[k, d] before each, from 0 or for odd o from the last place.

Bytes of two planes are interleaved, and pairs of two such pairs: every four bytes are a pixel's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.intrin.quads import BYTES, Quads
from nnc_tvm.schedules.rules.contraction_plan import Contraction
from nnc_tvm.schedules.rules.pixel_kernel import Vectors, pixel_kernel
from nnc_tvm.schedules.rules.pixel_plan import Planes


def pixel_quads_kernel(c: Contraction, quads: Quads, planes: Planes, entries: int, stepping: bool, epilogue_values: Sequence[np.ndarray],
                       out_dtype: str) -> Any:
    """PrimFunc (x, weights, [steps,] places, first, bias (O,), *epilogue_values (O,), y (O * line,))."""
    lanes, pixels = quads.lanes, 4 * quads.lanes
    groups, candidates = range(planes.tile.vectors // 4), math.prod(c.weight.shape[1:3]) * planes.cells
    paths = {"steps": 4 * entries, "places": candidates} if stepping else {"places": 4 * entries}
    dtypes = {"steps": "int8", "places": planes.place_dtype}
    lists = {"weights": ((4 * entries,), "int8")} | {name: ((size,), dtypes[name]) for name, size in paths.items()} | {"first": ((c.out[3] + 1,), "int32")}

    def accumulate(acc: Any, x: Any, weights: Any, *rest: Any) -> Any:
        *steps, places, first, t, o = rest
        at = T.sblock_alloc_buffer((quads.streams,), "int64", scope="local")
        for d in range(quads.streams * stepping):
            T.buffer_store(at, T.Cast("int64", o % 2 * (candidates - 1)), [d])
        with T.serial(first[o + 1] - first[o]) as k:
            entry = (first[o] + k) * 4
            four = T.reinterpret(T.broadcast(T.reinterpret(weights.vload([entry], "int8x4"), dtype="int32"), lanes), dtype=f"int8x{pixels}")
            starts = T.sblock_alloc_buffer((4,), "int64", scope="local")
            for d in range(4):
                if stepping:
                    T.buffer_store(at, at[d % quads.streams] + T.Cast("int64", steps[0][entry + d]), [d % quads.streams])
                place = places[at[d % quads.streams]] if stepping else places[entry + d]
                T.buffer_store(starts, T.Cast("int64", place) + T.Cast("int64", t * planes.tile_cells), [d])
            for g in groups:
                add_group(quads, acc, [x.vload([starts[d] + pixels * g], f"int8x{pixels}") for d in range(4)], four, g)
        held = T.sblock_alloc_buffer(acc.shape, "int32", scope="local")
        for g in groups:
            in_order(lanes, acc, held, g)
        return held

    return pixel_kernel("pixel_quads", c, planes, Vectors("int8", "int32", lanes, quads.arithmetic), lists, epilogue_values, out_dtype, accumulate)


def interleaved(a: Any, b: Any, high: int, dtype: str) -> Any:
    """Elements of two vectors in turn, of the lower or higher halves of their 16-byte lanes (punpckl, punpckh; zip1, zip2), as `dtype`."""
    elements = int(str(a.ty.dtype).rpartition("x")[2])
    half = BYTES // (2 if str(a.ty.dtype).startswith("int16") else 1) // 2
    order = [start + half * high + i + elements * odd for start in range(0, elements, 2 * half) for i in range(half) for odd in (0, 1)]
    return T.reinterpret(T.Shuffle([a, b], order), dtype=dtype)


def add_group(quads: Quads, acc: Any, rows: Sequence[Any], four: Any, g: int) -> None:
    """acc of the g-th vector of pixels += their four bytes times four weights. acc[4 * g + 2 * i + j]: quarter j of the halves i of all 16-byte lanes."""
    lanes = quads.lanes
    for i in (0, 1):
        first, second = (interleaved(rows[d], rows[d + 1], i, f"int16x{2 * lanes}") for d in (0, 2))
        for j in (0, 1):
            bytes4 = interleaved(first, second, j, f"int8x{4 * lanes}")
            v = 4 * g + 2 * i + j
            T.buffer_store(acc, quads.add(acc.vload([0, v, 0], f"int32x{lanes}"), bytes4, four), [0, v, T.ramp(0, 1, lanes)])


def in_order(lanes: int, acc: Any, held: Any, g: int) -> None:
    """held = the g-th pixels of acc, one after the other: each vector of acc holds four of each 16-byte lane."""
    for v in range(4):
        # of the pixels of a vector: the 16-byte lane, and the vector of acc that has four of them
        fours = [divmod(pixel // 4, 4) for pixel in range(v * lanes, (v + 1) * lanes, 4)]
        read = sorted({part for _, part in fours})
        order = [lanes * read.index(part) + 4 * lane + k for lane, part in fours for k in range(4)]
        vectors = [acc.vload([0, 4 * g + part, 0], f"int32x{lanes}") for part in read]
        T.buffer_store(held, T.Shuffle(vectors, order), [0, 4 * g + v, T.ramp(0, 1, lanes)])
