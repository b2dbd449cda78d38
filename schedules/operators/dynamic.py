"""Quantization by scales that are computed at run time, one for each row (an image, a token) or one for all.

A contraction of such integers is DynamicPad where it has borders, and the contraction itself with RescaleAtRunTime, or with KeepInt32 and
followed by DynamicRescale. Sources: ONNX, DynamicQuantizeLinear; LiteRT's hybrid kernels (dynamic-range quantization).
"""

from __future__ import annotations

from dataclasses import dataclass

from nnc_tvm.schedules.operators.operator import Operator
from nnc_tvm.schedules.quantization import RescaleAtRunTime


@dataclass(frozen=True, eq=False)
class DynamicParameters(Operator):
    """y = (zero points, scales) of the int8 quantization that spans each row of x and 0, in float32 throughout:

    low = min(0, min x), high = max(0, max x), scale = (high - low) / 255, zero_point = round(-128 - low / scale) within int8;
    symmetric: scale = max(-low, high) / 127, zero_point = 0. A scale of 0 becomes 1.

    half_away: halves are rounded away from zero, as LiteRT does, else to even, as ONNX does.
    nonnegative: x is known to be, so that low is 0.
    inputs: (x float32, finite; its leading extents are the rows); output float32 (2, rows)
    """

    symmetric: bool = False
    half_away: bool = False
    nonnegative: bool = False

    @property
    def rows(self) -> int:
        return self.output.shape[1]


@dataclass(frozen=True, eq=False)
class DynamicQuantize(Operator):
    """y = clamp(round(x / scale), -128 - zero_point, 127 - zero_point) + zero_point of x's row, as Quantize with parameters of the run.

    inputs: (x float32, parameters float32 (2, rows)) as DynamicParameters gives them of x, which is finite; or (x, scale float32 () or (1,),
    zero_point int8 () or (1,)) of any origin. half_away as in Quantize; with parameters x then is multiplied by float32(1 / scale), as LiteRT does.
    output int8 of x's shape, with parameters inside a border of its row's zero point as DynamicPad makes it, where there is padding
    """

    half_away: bool = False
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)

    @property
    def rows(self) -> int:
        return self.inputs[1].shape[1]


@dataclass(frozen=True, eq=False)
class DynamicPad(Operator):
    """x with a border of its row's zero point.

    inputs: (x int8 (N, H, W, C), parameters float32 (2, rows)), N a multiple of the rows; output (N, top + H + bottom, left + W + right, C)
    padding: (top, left, bottom, right), each >= 0
    """

    padding: tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class DynamicRescale(Operator):
    """y[..., o] = epilogue(acc[..., o]) with the parameters of acc's row.

    inputs: (acc int32 (..., O), parameters float32 (2, rows)); acc's leading extents are the rows; output float32 of acc's shape
    """

    epilogue: RescaleAtRunTime

    @property
    def rows(self) -> int:
        return self.inputs[1].shape[1]

    @property
    def weight_bytes(self) -> int:
        return 4 * self.epilogue.bias.size
