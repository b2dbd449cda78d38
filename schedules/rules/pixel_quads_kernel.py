"""The kernel of a convolution over lists of four weights, on planes of bytes, for AVX2.

y[o, q] = epilogue(bias[o] + sum over k in [first[o], first[o + 1]), d < 4 of x[places[k, d] + q] * weights[k, d]), x unsigned, of the planes of q's tile

Stepping, the place is places[at[d % 2]] instead, where at[d % 2] grows by steps[k, d] before each, from 0 or for odd o from the last place.

Bytes of two planes are interleaved, and pairs of two such pairs: every four bytes are a pixel's. pmaddubsw and pmaddwd sum them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.epilogue import finish, requantize
from nnc_tvm.schedules.intrin.avx2 import ARITHMETIC
from nnc_tvm.schedules.modular import Modular
from nnc_tvm.schedules.rules.contraction_plan import Contraction
from nnc_tvm.schedules.rules.pixel_plan import Planes

LANES = 8


def pixel_quads_kernel(c: Contraction, planes: Planes, entries: int, stepping: bool, epilogue_values: Sequence[np.ndarray], out_dtype: str) -> Any:
    """PrimFunc (x, weights, [steps,] places, first, bias (O,), *epilogue_values (O,), y (O * line,))."""
    out, vectors, line, candidates = c.out[3], planes.tile.vectors, planes.line, math.prod(c.weight.shape[1:3]) * planes.cells
    with IRBuilder() as builder:
        with T.prim_func(s_tir=True):
            T.func_attr({"tirx.noalias": True})
            x = T.arg("x", T.buffer((planes.tiles * planes.tile_cells,), "int8"))
            weights, *steps = [T.arg(name, T.buffer((4 * entries,), "int8")) for name in ("weights", "steps")[: 1 + stepping]]
            places = T.arg("places", T.buffer((candidates if stepping else 4 * entries,), planes.place_dtype))
            first = T.arg("first", T.buffer((out + 1,), "int32"))
            bias = T.arg("bias", T.buffer((out,), "int32"))
            values = [T.arg(f"epilogue_{i}", T.buffer((out,), str(v.dtype))) for i, v in enumerate(epilogue_values)]
            y = T.arg("y", T.buffer((out * line,), out_dtype))
            with T.sblock("pixel_quads"):
                T.reads()
                T.writes()
                with T.parallel(planes.tiles) as t, T.parallel(out) as o:  # the pixels of a tile stay in the first cache
                    acc = T.sblock_alloc_buffer((vectors, LANES), "int32", scope="local")
                    for v in range(vectors):
                        T.buffer_store(acc, T.broadcast(bias[o], LANES), [v, T.ramp(0, 1, LANES)])
                    at = T.sblock_alloc_buffer((2,), "int64", scope="local")
                    for d in range(2 * stepping):
                        T.buffer_store(at, T.Cast("int64", o % 2 * (candidates - 1)), [d])
                    with T.serial(first[o + 1] - first[o]) as k:
                        entry = (first[o] + k) * 4
                        four = T.reinterpret(T.broadcast(T.reinterpret(weights.vload([entry], "int8x4"), dtype="int32"), LANES), dtype="int8x32")
                        starts = T.sblock_alloc_buffer((4,), "int64", scope="local")
                        for d in range(4):
                            if stepping:
                                T.buffer_store(at, at[d % 2] + T.Cast("int64", steps[0][entry + d]), [d % 2])
                            place = places[at[d % 2]] if stepping else places[entry + d]
                            T.buffer_store(starts, T.Cast("int64", place) + T.Cast("int64", t * planes.tile_cells), [d])
                        for g in range(vectors // 4):
                            add_group(acc, [x.vload([starts[d] + 32 * g], "int8x32") for d in range(4)], four, g)
                    held = T.sblock_alloc_buffer((vectors, LANES), "int32", scope="local")
                    for g in range(vectors // 4):
                        in_order(acc, held, g)
                    for v in range(vectors):
                        with T.vectorized(LANES) as lane:
                            result = requantize(c.epilogue, held[v, lane], [value[o] for value in values], ARITHMETIC)
                            T.buffer_store(y, finish(c.epilogue, result, ARITHMETIC), [o * line + t * planes.tile_pixels + v * LANES + lane])
        return builder.get()


def interleaved(a: Any, b: Any, high: int, dtype: str) -> Any:
    """Elements of two vectors in turn, of the lower or higher halves of their 16-byte lanes (punpckl, punpckh), as `dtype`."""
    lanes = 32 if a.ty.dtype == "int8x32" else 16
    half = lanes // 4
    order = [lane + half * high + i + lanes * odd for lane in (0, lanes // 2) for i in range(half) for odd in (0, 1)]
    return T.reinterpret(T.Shuffle([a, b], order), dtype=dtype)


def add_group(acc: Any, rows: Sequence[Any], four: Any, g: int) -> None:
    """acc of the g-th 32 pixels += their four bytes times four weights. acc[4 * g + 2 * i + j]: quarter j of the halves i of both 16-byte lanes."""
    ones = T.broadcast(T.int16(1), 16)
    for i in (0, 1):
        first, second = (interleaved(rows[d], rows[d + 1], i, "int16x16") for d in (0, 2))
        for j in (0, 1):
            bytes4 = interleaved(first, second, j, "int8x32")
            pairs = T.call_llvm_pure_intrin("llvm.x86.avx2.pmadd.ub.sw", bytes4, four, dtype="int16x16")
            total = T.call_llvm_pure_intrin("llvm.x86.avx2.pmadd.wd", pairs, ones, dtype="int32x8")
            v = 4 * g + 2 * i + j
            T.buffer_store(acc, (Modular(acc.vload([v, 0], "int32x8")) + Modular(total)).value, [v, T.ramp(0, 1, LANES)])


def in_order(acc: Any, held: Any, g: int) -> None:
    """held = the g-th 32 pixels of acc, one after the other: each vector of acc holds four of each 16-byte lane."""
    for lane in (0, 1):
        for i in (0, 1):
            halves = [acc.vload([4 * g + 2 * i + j, 0], "int32x8") for j in (0, 1)]
            T.buffer_store(held, T.Shuffle(halves, [8 * j + 4 * lane + k for j in (0, 1) for k in range(4)]), [4 * g + 2 * lane + i, T.ramp(0, 1, LANES)])
