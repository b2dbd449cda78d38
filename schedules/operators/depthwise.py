"""Depthwise 2-D convolution: every input channel has its own filters."""

from __future__ import annotations

from dataclasses import dataclass

from nnc_tvm.schedules.operators.operator import WeightedSum


@dataclass(frozen=True, eq=False)
class DepthwiseConv2d(WeightedSum):
    """y[n,h,w,o] = epilogue(bias[o] + sum over kh, kw of (x[n, h*sh + kh*dh - top, w*sw + kw*dw - left, o // m] - z) * weight[kh,kw,o])

    m = O / C is the channel multiplier. Outside the image x - z is 0. Integer and float forms as in WeightedSum.

    inputs: (x (N, H, W, C),); output (N, OH, OW, O); weight: (KH, KW, O); bias: (O,)
    padding: (top, left, bottom, right), each >= 0
    """

    strides: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)

    @property
    def kernel(self) -> tuple[int, int]:
        return self.weight.shape[0], self.weight.shape[1]

    @property
    def macs(self) -> int:
        return self.output.elements * self.weight.shape[0] * self.weight.shape[1]
