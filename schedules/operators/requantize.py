"""Between scales, and in and out of the integer graph."""

from __future__ import annotations

from dataclasses import dataclass

from nnc_tvm.schedules.operators.operator import Operator, TensorType
from nnc_tvm.schedules.quantization import Mode, Requantize, convolution_scale, make_requantize


@dataclass(frozen=True, eq=False)
class Rescale(Operator):
    """y = requantize(x - zero_point): the same reals on another scale (int8 or uint8 -> int8). int32 input: zero_point 0."""

    zero_point: int
    requantize: Requantize

    @staticmethod
    def build(mode: Mode, source: TensorType, output: TensorType, quantization: tuple[tuple[float, int], ...], low: int = -128,
              high: int = 127) -> Rescale:
        """`quantization` is ((scale, zero_point) of the input and the output)."""
        (si, zi), (so, zo) = quantization
        return Rescale((source,), output, zi, make_requantize(mode, convolution_scale(si, 1, so), zo, low, high))


@dataclass(frozen=True, eq=False)
class Quantize(Operator):
    """y = clamp(rint(x / scale), low - zero_point, high - zero_point) + zero_point; rint half to even (ONNX), NaN gives the zero point.

    `half_away` rounds half away from zero instead, as LiteRT's QUANTIZE does.
    inputs: (x float32,); output int8. scale: float32 > 0; the division is IEEE float32.
    """

    scale: float
    zero_point: int
    low: int = -128
    high: int = 127
    half_away: bool = False


@dataclass(frozen=True, eq=False)
class Dequantize(Operator):
    """y = float32(x - zero_point) * scale. inputs: (x int8 or int32,); output float32."""

    scale: float
    zero_point: int


@dataclass(frozen=True, eq=False)
class FlipSign(Operator):
    """y = x XOR 0x80: uint8 with zero point z as int8 with zero point z - 128, or back. Exact."""
