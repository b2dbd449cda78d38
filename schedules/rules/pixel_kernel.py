"""Kernels on planes of pixels: what the ways to walk their lists share.

A tile's accumulators begin at the bias; their results are requantized as wide as they are, and finished as wide as the CPU narrows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.arithmetic import Arithmetic
from nnc_tvm.schedules.epilogue import finish, requantize
from nnc_tvm.schedules.rules.contraction_plan import Contraction
from nnc_tvm.schedules.rules.pixel_plan import Planes

NARROW = 16  # pixels of vectors of four: NEON narrows eight at a time, and stores two such halves


@dataclass(frozen=True)
class Vectors:
    """x_dtype: of the planes; cell: elements of x of one of their cells. acc_dtype, lanes: of a vector of accumulators. arithmetic: how the CPU requantizes."""

    x_dtype: str
    acc_dtype: str
    lanes: int
    arithmetic: Arithmetic
    cell: int = 1


def pixel_kernel(name: str, c: Contraction, planes: Planes, vectors: Vectors, lists: Mapping[str, tuple[tuple[int, ...], str]],
                 epilogue_values: Sequence[np.ndarray], out_dtype: str, accumulate: Callable[..., Any]) -> Any:
    """PrimFunc (x, *lists, bias (O,), *epilogue_values (O,), y (O * line,)). lists: name -> (shape, dtype).

    accumulate(acc, x, *lists, t, o) adds tile t's products of channel o to acc (1, vectors, lanes), and returns the buffer that holds the sums in order.
    """
    out, line, count, lanes = c.out[3], planes.line, planes.tile.vectors, vectors.lanes
    with IRBuilder() as builder:
        with T.prim_func(s_tir=True):
            T.func_attr({"tirx.noalias": True})
            x = T.arg("x", T.buffer((planes.tiles * planes.tile_cells * vectors.cell,), vectors.x_dtype))
            buffers = [T.arg(argument, T.buffer(shape, dtype)) for argument, (shape, dtype) in lists.items()]
            bias = T.arg("bias", T.buffer((out,), vectors.acc_dtype))
            values = [T.arg(f"epilogue_{i}", T.buffer((out,), str(v.dtype))) for i, v in enumerate(epilogue_values)]
            y = T.arg("y", T.buffer((out * line,), out_dtype))
            with T.sblock(name):
                T.reads()
                T.writes()
                with T.parallel(planes.tiles) as t, T.parallel(out) as o:  # the pixels of a tile stay in the first cache
                    acc = T.sblock_alloc_buffer((1, count, lanes), vectors.acc_dtype, scope="local")
                    for v in range(count):
                        T.buffer_store(acc, T.broadcast(bias[o], lanes), [0, v, T.ramp(0, 1, lanes)])
                    sums = accumulate(acc, x, *buffers, t, o)
                    store_pixels(c, vectors.arithmetic, sums, [value[o] for value in values], y, o * line + t * planes.tile_pixels)
        return builder.get()


def store_pixels(c: Contraction, arithmetic: Arithmetic, sums: Any, values: Sequence[Any], y: Any, start: Any) -> None:
    """y[start + v * lanes + lane] = the result of sums[0, v, lane]. values: an output channel's parameters."""
    vectors, lanes = map(int, sums.shape[1:])
    dtype = str(y.dtype)
    width = math.gcd(vectors * lanes, NARROW) if dtype == "int8" and lanes < NARROW // 2 else lanes
    for first in range(0, vectors * lanes, width):
        held = T.sblock_alloc_buffer((width,), "int16" if dtype == "int8" else dtype, scope="local")
        for v in range(first // lanes, (first + width) // lanes):
            with T.vectorized(lanes) as lane:
                T.buffer_store(held, requantize(c.epilogue, sums[0, v, lane], list(values), arithmetic), [v * lanes - first + lane])
        with T.vectorized(width) as lane:
            T.buffer_store(y, finish(c.epilogue, held[lane], arithmetic), [start + first + lane])
