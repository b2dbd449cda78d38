"""Depthwise 2-D convolution: every input channel has its own filters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nnc_tvm.schedules.operators.operator import Operator
from nnc_tvm.schedules.quantization import Epilogue


@dataclass(frozen=True, eq=False)
class DepthwiseConv2d(Operator):
    """y[n,h,w,o] = epilogue(bias[o] + sum over kh, kw of (x[n, h*sh + kh*dh - top, w*sw + kw*dw - left, o // m] - z) * weight[kh,kw,o])

    m = O / C is the channel multiplier. Outside the image x - z is 0. Integer form: x int8, weight int16 within [-255, 255]
    with the weights' zero point already subtracted, bias int32. Float form: all float32 and z = 0.

    inputs: (x (N, H, W, C),); output (N, OH, OW, O); weight: (KH, KW, O); bias: (O,)
    padding: (top, left, bottom, right), each >= 0
    """

    weight: np.ndarray
    bias: np.ndarray
    epilogue: Epilogue
    input_zero_point: int = 0
    strides: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)

    @property
    def kernel(self) -> tuple[int, int]:
        return self.weight.shape[0], self.weight.shape[1]

    @property
    def macs(self) -> int:
        return self.output.elements * self.weight.shape[0] * self.weight.shape[1]

    @property
    def weight_bytes(self) -> int:
        return self.weight.size * (4 if self.weight.dtype == np.float32 else 1) + 4 * self.bias.size
