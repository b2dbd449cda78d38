"""Pooling and means over images."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from nnc_tvm.schedules.operators.operator import Operator, TensorType
from nnc_tvm.schedules.quantization import Epilogue, FixedRequantize, Mode, convolution_scale, make_requantize


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
    Float form: y = epilogue(sum x / count), epilogue FloatClamp.
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

    @property
    def counts(self) -> np.ndarray:
        """int32 (OH * OW,): how many elements each mean is over."""
        extent, output = self.inputs[0].shape[1:3], self.output.shape[1:3]
        if self.count_include_pad:
            return np.full(math.prod(output), math.prod(self.kernel), np.int32)
        starts = [np.arange(output[axis]) * self.strides[axis] - self.padding[axis] for axis in (0, 1)]
        inside = [np.minimum(start + self.kernel[axis], extent[axis]) - np.maximum(start, 0) for axis, start in enumerate(starts)]
        return np.outer(*inside).reshape(-1).astype(np.int32)

    @staticmethod
    def build(mode: Mode, source: TensorType, output: TensorType, kernel: tuple[int, int], strides: tuple[int, int], padding: tuple[int, int, int, int],
              count_include_pad: bool, quantization: tuple[tuple[float, int], ...], low: int = -128, high: int = 127) -> AveragePool2d:
        """The int8 form; `quantization` is ((scale, zero_point) of the input and the output)."""
        (si, zi), (so, zo) = quantization
        integer_mean = AveragePool2d((source,), output, kernel, strides, padding, count_include_pad, 0, None, low, high)
        if mode == "fixed" and (np.float32(si), zi) == (np.float32(so), zo):
            return integer_mean
        counts = integer_mean.counts
        if np.all(counts == counts[0]):
            counts = counts[:1]
        return replace(integer_mean, input_zero_point=zi, epilogue=make_requantize(mode, convolution_scale(si, 1, so) / counts, zo, low, high))


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

    @staticmethod
    def build(mode: Mode, source: TensorType, output: TensorType, axes: tuple[int, ...], quantization: tuple[tuple[float, int], ...], low: int = -128,
              high: int = 127) -> Mean:
        """The int8 form; `quantization` is ((scale, zero_point) of the input and the output)."""
        (si, zi), (so, zo) = quantization
        count = math.prod(source.shape[axis] for axis in axes)
        ratio = convolution_scale(si, 1, so)
        requantize = make_requantize(mode, ratio if mode == "fixed" else ratio / count, zo, low, high)
        return Mean((source,), output, axes, zi, divide_multiplier(requantize, count) if isinstance(requantize, FixedRequantize) else requantize)


@dataclass(frozen=True, eq=False)
class Sum(Operator):
    """y = requantize(sum over `axes` of (x - z))

    inputs: (x int8,); output int8: the axes are removed, or kept with extent 1 as the output's shape says.
    """

    axes: tuple[int, ...]
    input_zero_point: int
    epilogue: Epilogue

    @staticmethod
    def build(mode: Mode, source: TensorType, output: TensorType, axes: tuple[int, ...], quantization: tuple[tuple[float, int], ...], low: int = -128,
              high: int = 127) -> Sum:
        """`quantization` is ((scale, zero_point) of the input and the output)."""
        (si, zi), (so, zo) = quantization
        return Sum((source,), output, axes, zi, make_requantize(mode, convolution_scale(si, 1, so), zo, low, high))


def divide_multiplier(requantize: FixedRequantize, count: int) -> FixedRequantize:
    """`requantize` with 1 / count in it, as LiteRT's MEAN divides: the multiplier times 2^floor(log2(count)) over the count, rounded down."""
    shift = min(count.bit_length() - 1, 32, 31 + int(requantize.shift[0]))
    multiplier = (int(requantize.multiplier[0]) << shift) // count
    return replace(requantize, multiplier=np.array([multiplier], np.int32), shift=requantize.shift - np.int32(shift))
