"""Softmax over the last axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nnc_tvm.schedules.operators.operator import Operator


@dataclass(frozen=True, eq=False)
class FixedSoftmax(Operator):
    """LiteRT's int8 SOFTMAX in gemmlowp fixed point: exponentials in Q0.31 with 5 integer bits, sum with 12, output 1/256 and zero point -128.

    inputs: (x (..., K) int8,); output int8 of the same shape.
    multiplier, shift: beta * scale of the input as a Q31 multiplier with left shift; differences below `diff_min` count as 0.
    """

    multiplier: int
    shift: int
    diff_min: int


@dataclass(frozen=True, eq=False)
class TableSoftmax(Operator):
    """`float` softmax on int8: y = clamp(rint(float32(e[max - x]) / float32(sum e) * scale) + zero_point, -128, 127)

    e: int32 (256,) table of round(2^23 * exp(-d * input scale)), so that the sum of up to 256 terms is exact in int32; longer rows
    use fewer bits. inputs: (x (..., K) int8,); output int8. scale: float32, 1 / the output's scale.
    """

    exponentials: np.ndarray
    scale: float
    zero_point: int
