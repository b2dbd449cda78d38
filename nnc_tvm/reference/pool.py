"""Pooling and means."""

from __future__ import annotations

import math

import numpy as np

from nnc_tvm.reference.dispatch import evaluate
from nnc_tvm.reference.rounding import apply_epilogue
from nnc_tvm.reference.window import pad_image, taps
from nnc_tvm.schedules.fixed_point import divide_half_away, require_int32
from nnc_tvm.schedules.operators import AveragePool2d, MaxPool2d, Mean, Sum


@evaluate.register
def max_pool2d(operator: MaxPool2d, x: np.ndarray) -> np.ndarray:
    lowest = -math.inf if x.dtype == np.float32 else int(np.iinfo(x.dtype).min)
    padded = pad_image(x, operator.padding, lowest)
    result = np.full(operator.output.shape, lowest, x.dtype)
    for _, _, view in taps(padded, operator.kernel, operator.strides, operator.dilation, operator.output.shape[1:3]):
        result = np.maximum(result, view)
    return np.clip(result, operator.low, operator.high).astype(x.dtype)


@evaluate.register
def average_pool2d(operator: AveragePool2d, x: np.ndarray) -> np.ndarray:
    z, epilogue = operator.input_zero_point, operator.epilogue
    acc = _window_sums(operator, x.astype(np.float64) - z)
    if epilogue is None:
        mean = divide_half_away(require_int32(acc), window_counts(operator).astype(np.int64)) + z
        return np.clip(mean, operator.low, operator.high).astype(np.int8)
    if x.dtype == np.float32:
        return apply_epilogue(epilogue, acc / window_counts(operator))
    n, oh, ow, channels = operator.output.shape
    by_position = acc.reshape(n, oh * ow, channels).swapaxes(1, 2)  # the epilogue's scales run along its last axis
    return apply_epilogue(epilogue, by_position).swapaxes(1, 2).reshape(operator.output.shape)


def _window_sums(operator: AveragePool2d, x: np.ndarray) -> np.ndarray:
    views = taps(pad_image(x, operator.padding), operator.kernel, operator.strides, (1, 1), operator.output.shape[1:3])
    return np.sum([view for _, _, view in views], axis=0)


def window_counts(operator: AveragePool2d) -> np.ndarray:
    """(1, OH, OW, 1): how many elements each mean is over; counted one by one, apart from `AveragePool2d.counts` that kernels use."""
    _, height, width, _ = operator.inputs[0].shape
    if operator.count_include_pad:
        return np.full((1, *operator.output.shape[1:3], 1), math.prod(operator.kernel), np.float64)
    return _window_sums(operator, np.ones((1, height, width, 1)))


@evaluate.register
def mean(operator: Mean, x: np.ndarray) -> np.ndarray:
    acc = np.sum(x.astype(np.float64) - operator.input_zero_point, axis=operator.axes)
    if x.dtype == np.float32:
        acc /= math.prod(x.shape[axis] for axis in operator.axes)
    return apply_epilogue(operator.epilogue, acc).reshape(operator.output.shape)


@evaluate.register
def total(operator: Sum, x: np.ndarray) -> np.ndarray:
    acc = require_int32(np.sum(x.astype(np.int64) - operator.input_zero_point, axis=operator.axes))
    return apply_epilogue(operator.epilogue, acc).reshape(operator.output.shape)
