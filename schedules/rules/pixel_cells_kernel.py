"""The kernel of a convolution over lists of cells, on vectors of pixels.

y[o, q] = epilogue(bias[o] + sum over k in [first[o], first[o + 1]), d < depth of x[(places[k] + q) * depth + d] * weights[k * depth + d])

The instruction's parts change places: its broadcast operand is a cell's weights, its vectors are pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.isa import DotProduct
from nnc_tvm.schedules.rules.contraction_plan import Contraction
from nnc_tvm.schedules.rules.pixel_plan import Planes
from nnc_tvm.schedules.rules.pixel_store import store_pixels


@dataclass(frozen=True)
class Lists:
    """How many entries all output channels have, at least one, and the types of their weights and places."""

    entries: int
    weight_dtype: str
    place_dtype: str


@dataclass(frozen=True)
class View:
    """What an instruction's `emit` reads of an operand, as `dtype`: elements from `start`, vector v from `start + v * pitch`."""

    buffer: Any
    dtype: str
    start: Any
    pitch: int = 0

    def vload(self, index: Sequence[int], dtype: str) -> Any:
        place = index[0] if len(index) == 1 else index[1] * self.pitch
        return T.Cast(dtype, self.buffer.vload([self.start + place], dtype.replace(self.dtype, str(self.buffer.dtype))))

    def __getitem__(self, index: int) -> Any:
        return T.Cast(self.dtype, self.buffer[self.start + index])


def pixel_cells_kernel(c: Contraction, isa: DotProduct, planes: Planes, lists: Lists, epilogue_values: Sequence[np.ndarray], out_dtype: str) -> Any:
    """PrimFunc (x, weights, places, first, bias (O,), *epilogue_values (O,), y (O * line,))."""
    out, depth, vectors = c.out[3], isa.depth, planes.tile.vectors
    line = planes.line
    with IRBuilder() as builder:
        with T.prim_func(s_tir=True):
            T.func_attr({"tirx.noalias": True})
            x = T.arg("x", T.buffer((planes.tiles * planes.tile_cells * depth,), isa.w_dtype))
            weights = T.arg("weights", T.buffer((lists.entries * depth,), lists.weight_dtype))
            places = T.arg("places", T.buffer((lists.entries,), lists.place_dtype))
            first = T.arg("first", T.buffer((out + 1,), "int32"))
            bias = T.arg("bias", T.buffer((out,), isa.acc_dtype))
            values = [T.arg(f"epilogue_{i}", T.buffer((out,), str(v.dtype))) for i, v in enumerate(epilogue_values)]
            y = T.arg("y", T.buffer((out * line,), out_dtype))
            with T.sblock("pixel_cells"):
                T.reads()
                T.writes()
                with T.parallel(planes.tiles) as t, T.parallel(out) as o:  # the pixels of a tile stay in the first cache
                    acc = T.sblock_alloc_buffer((1, vectors, isa.lanes), isa.acc_dtype, scope="local")
                    for v in range(vectors):
                        T.buffer_store(acc, T.broadcast(bias[o], isa.lanes), [0, v, T.ramp(0, 1, isa.lanes)])
                    with T.serial(first[o + 1] - first[o]) as k:
                        place = (T.Cast("int32", places[first[o] + k]) + t * planes.tile_cells) * depth
                        isa.emit(planes.tile, View(weights, isa.x_dtype, (first[o] + k) * depth), View(x, isa.w_dtype, place, isa.lanes * depth), acc)
                    store_pixels(c, isa.arithmetic, lambda v, lane: acc[0, v, lane], (vectors, isa.lanes), [value[o] for value in values], y,
                                 o * line + t * planes.tile_pixels)
        return builder.get()
