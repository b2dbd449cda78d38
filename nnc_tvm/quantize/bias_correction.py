"""The mean error that rounded weights cause in a contraction's result, which its bias can take back.

Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (ICCV 2019), with the input's mean measured.
"""

from __future__ import annotations

import numpy as np

from nnc_tvm.quantize.contraction import Contraction
from nnc_tvm.reference import evaluate
from nnc_tvm.relay_passes.graph import operator_name
from nnc_tvm.schedules.operators import Conv2d, TensorType
from nnc_tvm.schedules.quantization import FloatClamp


def mean_error(contraction: Contraction, rounded: np.ndarray, mean_input: np.ndarray) -> np.ndarray:
    """float64 (channels,): the mean over samples and positions of (contraction by `rounded`) - (contraction by its own weights).

    A contraction is linear, so that is the contraction of the mean input, padding included.
    rounded: float, of the weights' shape. mean_input: float64, of the input's shape.
    """
    difference = rounded.astype(np.float64) - contraction.weight
    if operator_name(contraction.call) == "relax.matmul":
        return np.asarray(mean_input.reshape(-1, mean_input.shape[-1]).mean(0) @ difference)
    a = contraction.call.attrs
    x = np.moveaxis(mean_input, contraction.input_axis, -1).mean(0, keepdims=True).astype(np.float32)
    kernel = difference.transpose([str(a.kernel_layout).index(axis) for axis in "OHWI"]).astype(np.float32)
    (sh, sw), (top, left, bottom, right), (dh, dw) = ([int(v) for v in values] for values in (a.strides, a.padding, a.dilation))
    height = (x.shape[1] + top + bottom - dh * (kernel.shape[1] - 1) - 1) // sh + 1
    width = (x.shape[2] + left + right - dw * (kernel.shape[2] - 1) - 1) // sw + 1
    operator = Conv2d((TensorType(x.shape, "float32"),), TensorType((1, height, width, contraction.channels), "float32"), kernel,
                      np.zeros(contraction.channels, np.float32), FloatClamp(), 0, (sh, sw), (top, left, bottom, right), (dh, dw), contraction.groups)
    return np.asarray(evaluate(operator, x).mean((0, 1, 2), dtype=np.float64))
