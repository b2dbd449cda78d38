"""2-D convolution, ordinary and grouped."""

from __future__ import annotations

from dataclasses import dataclass

from nnc_tvm.schedules.operators.elementwise import LinearCombination
from nnc_tvm.schedules.operators.operator import WeightedSum


@dataclass(frozen=True, eq=False)
class Conv2d(WeightedSum):
    """y[n,h,w,o] = epilogue(bias[o] + sum over kh, kw, c of (x[n, h*sh + kh*dh - top, w*sw + kw*dw - left, c] - z) * weight[o,kh,kw,c])

    Outside the image x - z is 0. Integer and float forms as in WeightedSum. With a residual y is residual(the above, r).

    inputs: (x (N, H, W, C),), with a residual (x, r (N, OH, OW, O) int8); output (N, OH, OW, O)
    weight: (O, KH, KW, C / groups); output channel o reads the input channels of group o // (O / groups)
    bias: (O,)
    padding: (top, left, bottom, right), each >= 0
    residual: what adds r to the requantized sum, which is its first input; zero_points[0] is the epilogue's
    """

    strides: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    residual: LinearCombination | None = None

    @property
    def kernel(self) -> tuple[int, int]:
        return self.weight.shape[1], self.weight.shape[2]

    @property
    def macs(self) -> int:
        return self.output.elements * self.weight[0].size
