"""Quantization by scales that are computed at run time, one for each row (an image, a token) or one for all.

A contraction of such integers is three operators: DynamicPad where it has borders, the contraction itself, whose result is its int32
accumulator (KeepInt32), and DynamicRescale. Sources: ONNX, DynamicQuantizeLinear; LiteRT's hybrid kernels (dynamic-range quantization).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nnc_tvm.schedules.operators.operator import Operator


@dataclass(frozen=True, eq=False)
class DynamicParameters(Operator):
    """y = (zero points, scales) of the int8 quantization that spans each row of x and 0, in float32 throughout:

    low = min(0, min x), high = max(0, max x), scale = (high - low) / 255, zero_point = round(-128 - low / scale) within int8;
    symmetric: scale = max(-low, high) / 127, zero_point = 0. A scale of 0 becomes 1.

    half_away: halves are rounded away from zero, as LiteRT does, else to even, as ONNX does.
    inputs: (x float32, finite; its leading extents are the rows); output float32 (2, rows)
    """

    symmetric: bool = False
    half_away: bool = False

    @property
    def rows(self) -> int:
        return self.output.shape[1]


@dataclass(frozen=True, eq=False)
class DynamicQuantize(Operator):
    """y = clamp(round(x / scale), -128 - zero_point, 127 - zero_point) + zero_point of x's row, as Quantize with parameters of the run.

    inputs: (x float32, parameters float32 (2, rows)) as DynamicParameters gives them, or (x, scale float32 () or (1,), zero_point int8 () or
    (1,)) of any origin; output int8 of x's shape. half_away as in Quantize.
    """

    half_away: bool = False


@dataclass(frozen=True, eq=False)
class DynamicPad(Operator):
    """x with a border of its row's zero point.

    inputs: (x int8 (N, H, W, C), parameters float32 (2, rows)), N a multiple of the rows; output (N, top + H + bottom, left + W + right, C)
    padding: (top, left, bottom, right), each >= 0
    """

    padding: tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class DynamicRescale(Operator):
    """y[..., o] = clamp(float32(acc[..., o] - zero_point * sums[o]) * (row's scale * scale[o]) + bias[o], low, high)

    The reals of the accumulators of a contraction of x with weights, where x counts from 0 instead of its zero point. float32 throughout,
    but for the difference, which is int32 (modulo 2^32).

    inputs: (acc int32 (..., O), parameters float32 (2, rows)); acc's leading extents are the rows; output float32 of acc's shape
    scale, bias: float32 (O,). sums: int32 (O,), of each output channel's weights; zeros where zero points are 0.
    """

    scale: np.ndarray
    bias: np.ndarray
    sums: np.ndarray
    low: float = -math.inf
    high: float = math.inf

    @property
    def weight_bytes(self) -> int:
        return 4 * self.bias.size
