"""Pooling and means over images."""

from __future__ import annotations

from dataclasses import dataclass

from nnc_tvm.schedules.operators.operator import Operator
from nnc_tvm.schedules.quantization import Epilogue


@dataclass(frozen=True, eq=False)
class MaxPool2d(Operator):
    """y[n,h,w,c] = clamp(max over kh, kw inside the image of x[n, h*sh + kh*dh - top, w*sw + kw*dw - left, c], low, high)

    inputs: (x (N, H, W, C) int8 or float32,); output of the same dtype and scale. padding: (top, left, bottom, right).
    """

    kernel: tuple[int, int]
    strides: tuple[int, int]
    padding: tuple[int, int, int, int]
    dilation: tuple[int, int] = (1, 1)
    low: float = -128
    high: float = 127


@dataclass(frozen=True, eq=False)
class AveragePool2d(Operator):
    """The mean over each window.

    epilogue None (`fixed`, LiteRT's AVERAGE_POOL_2D; input and output on one scale): y = clamp(round(sum (x - z) / count) + z, low, high),
    the division rounding half away from zero; z = 0 for int8 models and -128 for uint8 ones, whose kernel rounds the uint8 values.
    Otherwise: y = epilogue(sum (x - z)), the epilogue's scale per output position (OH * OW entries, or 1) having 1 / count in it.
    count is the number of elements inside the image, or the whole window with count_include_pad.

    inputs: (x (N, H, W, C) int8 or float32,); output (N, OH, OW, C). padding: (top, left, bottom, right).
    """

    kernel: tuple[int, int]
    strides: tuple[int, int]
    padding: tuple[int, int, int, int]
    count_include_pad: bool
    input_zero_point: int
    epilogue: Epilogue | None
    low: int = -128
    high: int = 127


@dataclass(frozen=True, eq=False)
class Mean(Operator):
    """The mean over `axes`.

    `fixed` and `float`: y = requantize(sum (x - z)), with 1 / count in the scale. LiteRT's MEAN divides the Q31 multiplier by the
    count, so `fixed` has a multiplier in [2^29, 2^31) here.
    Float form: y = sum x / count, epilogue FloatClamp.

    inputs: (x int8 or float32,); output: the axes are removed, or kept with extent 1 as the output's shape says.
    """

    axes: tuple[int, ...]
    input_zero_point: int
    epilogue: Epilogue
