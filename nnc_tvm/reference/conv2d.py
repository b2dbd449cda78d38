"""2-D convolution: one matrix product per row of the window and group."""

from __future__ import annotations

from itertools import groupby

import numpy as np

from nnc_tvm.reference.dispatch import evaluate
from nnc_tvm.reference.rounding import apply
from nnc_tvm.reference.window import pad_image, taps
from nnc_tvm.schedules.operators import Conv2d


@evaluate.register
def conv2d(operator: Conv2d, x: np.ndarray, *others: np.ndarray) -> np.ndarray:
    """Integer products and sums stay below 2^53, so float64 matrix products are exact."""
    _, oh, ow, channels = operator.output.shape
    padded = pad_image(x.astype(np.float64) - operator.input_zero_point, operator.padding)
    weight = np.ascontiguousarray(operator.weight.transpose(1, 2, 3, 0)).astype(np.float64)
    depth, width = weight.shape[2], channels // operator.groups
    acc = np.zeros((operator.output.elements // channels, channels), np.float64)
    for kh, row in groupby(taps(padded, operator.kernel, operator.strides, operator.dilation, (oh, ow)), lambda tap: tap[0]):
        views = [view for _, _, view in row]
        for g in range(operator.groups):
            outputs = slice(g * width, (g + 1) * width)
            columns = np.concatenate([view[..., g * depth:(g + 1) * depth].reshape(-1, depth) for view in views], axis=1)
            acc[:, outputs] += columns @ weight[kh, :, :, outputs].reshape(-1, width)
    parameters = others if operator.residual is None else ()
    result = apply(operator.epilogue, (acc + operator.bias).reshape(operator.output.shape), *parameters)
    return result if operator.residual is None else evaluate(operator.residual, result, *others)
