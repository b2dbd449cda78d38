"""The kernel of a convolution over lists of cells, on vectors of pixels.

y[o, q] = epilogue(bias[o] + sum over k in [first[o], first[o + 1]), d < depth of x[(places[k] + q) * depth + d] * weights[k * depth + d])

The instruction's parts change places: its broadcast operand is a cell's weights, its vectors are pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.isa import DotProduct
from nnc_tvm.schedules.rules.contraction_plan import Contraction
from nnc_tvm.schedules.rules.pixel_kernel import Vectors, pixel_kernel
from nnc_tvm.schedules.rules.pixel_plan import Planes


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
    depth = isa.depth
    arguments = {"weights": ((lists.entries * depth,), lists.weight_dtype), "places": ((lists.entries,), lists.place_dtype),
                 "first": ((c.out[3] + 1,), "int32")}

    def accumulate(acc: Any, x: Any, weights: Any, places: Any, first: Any, t: Any, o: Any) -> Any:
        with T.serial(first[o + 1] - first[o]) as k:
            place = (T.Cast("int32", places[first[o] + k]) + t * planes.tile_cells) * depth
            isa.emit(planes.tile, View(weights, isa.x_dtype, (first[o] + k) * depth), View(x, isa.w_dtype, place, isa.lanes * depth), acc)
        return acc

    vectors = Vectors(isa.w_dtype, isa.acc_dtype, isa.lanes, isa.arithmetic, depth)
    return pixel_kernel("pixel_cells", c, planes, vectors, arguments, epilogue_values, out_dtype, accumulate)
