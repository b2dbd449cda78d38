"""2-D convolution: one matrix product per position in the window and group."""

from __future__ import annotations

import numpy as np

from nnc_tvm.reference.dispatch import evaluate
from nnc_tvm.reference.rounding import apply_epilogue
from nnc_tvm.reference.window import pad_image, taps
from nnc_tvm.schedules.operators import Conv2d


@evaluate.register
def conv2d(operator: Conv2d, x: np.ndarray) -> np.ndarray:
    """Integer products and sums stay below 2^53, so float64 matrix products are exact."""
    _, oh, ow, channels = operator.output.shape
    padded = pad_image(x.astype(np.float64) - operator.input_zero_point, operator.padding)
    weight = operator.weight.astype(np.float64)
    depth, width = weight.shape[3], channels // operator.groups
    acc = np.zeros(operator.output.shape, np.float64)
    for kh, kw, view in taps(padded, operator.kernel, operator.strides, operator.dilation, (oh, ow)):
        for g in range(operator.groups):
            outputs = slice(g * width, (g + 1) * width)
            acc[..., outputs] += view[..., g * depth:(g + 1) * depth] @ weight[outputs, kh, kw, :].T
    return apply_epilogue(operator.epilogue, acc + operator.bias)
