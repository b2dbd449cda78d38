"""Softmax over the last axis."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nnc_tvm.schedules.operators.operator import Operator, TensorType
from nnc_tvm.schedules.quantization import quantize_multiplier

INTEGER_BITS = 5  # of the scaled differences, in fixed point


@dataclass(frozen=True, eq=False)
class FixedSoftmax(Operator):
    """LiteRT's int8 SOFTMAX in gemmlowp fixed point: exponentials in Q0.31 with 5 integer bits, sum with 12, output 1/256 and zero point -128.

    inputs: (x (..., K) int8,); output int8 of the same shape.
    multiplier, shift: beta * scale of the input as a Q31 multiplier with left shift; differences below `diff_min` count as 0.
    """

    multiplier: int
    shift: int
    diff_min: int

    @staticmethod
    def build(source: TensorType, output: TensorType, input_scale: float, beta: float = 1.0) -> FixedSoftmax:
        """LiteRT's PreprocessSoftmaxScaling and CalculateInputRadius. Raises ValueError for input scales below 2^-26 / beta."""
        real = min(float(np.float32(beta)) * float(np.float32(input_scale)) * (1 << (31 - INTEGER_BITS)), 2.0**31 - 1)
        if real <= 1:
            raise ValueError(f"softmax: the input's scale {input_scale} is too small for fixed point")
        multiplier, shift = quantize_multiplier(real)
        radius = math.floor(((1 << INTEGER_BITS) - 1) * (1 << (31 - INTEGER_BITS)) / (1 << shift))
        return FixedSoftmax((source,), output, multiplier, shift, -radius)


@dataclass(frozen=True, eq=False)
class TableSoftmax(Operator):
    """`float` softmax on int8: y = clamp(rint(float32(e[max - x]) / float32(sum e) * scale) + zero_point, -128, 127)

    e: int32 (256,) table of round(2^23 * exp(-d * input scale)), so that the sum of up to 256 terms is exact in int32; longer rows
    use fewer bits. inputs: (x (..., K) int8,); output int8. scale: float32, 1 / the output's scale.
    """

    exponentials: np.ndarray
    scale: float
    zero_point: int

    @staticmethod
    def build(source: TensorType, output: TensorType, input_scale: float, quantization: tuple[float, int]) -> TableSoftmax:
        """`quantization` is the output's (scale, zero_point)."""
        bits = min(23, 30 - math.ceil(math.log2(max(source.shape[-1], 2))))
        exponentials = np.rint(2.0**bits * np.exp(-np.arange(256) * float(np.float32(input_scale)))).astype(np.int32)
        return TableSoftmax((source,), output, exponentials, float(np.float32(1) / np.float32(quantization[0])), quantization[1])
