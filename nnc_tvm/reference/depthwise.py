"""Depthwise 2-D convolution."""

from __future__ import annotations

import numpy as np

from nnc_tvm.reference.dispatch import evaluate
from nnc_tvm.reference.rounding import apply
from nnc_tvm.reference.window import pad_image, taps
from nnc_tvm.schedules.operators import DepthwiseConv2d


@evaluate.register
def depthwise_conv2d(operator: DepthwiseConv2d, x: np.ndarray, *parameters: np.ndarray) -> np.ndarray:
    """Integer products and sums stay below 2^53, so float64 is exact."""
    _, oh, ow, channels = operator.output.shape
    padded = pad_image(x.astype(np.float64) - operator.input_zero_point, operator.padding)
    padded = np.repeat(padded, channels // x.shape[3], axis=3)
    acc = np.zeros(operator.output.shape, np.float64)
    for kh, kw, view in taps(padded, operator.kernel, operator.strides, operator.dilation, (oh, ow)):
        acc += view * operator.weight[kh, kw].astype(np.float64)
    return apply(operator.epilogue, acc + operator.bias, *parameters)
