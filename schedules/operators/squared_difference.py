"""Squared differences of two int8 tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nnc_tvm.schedules.operators.operator import Operator, TensorType
from nnc_tvm.schedules.quantization import FixedRequantize, make_requantize, quantize_multiplier


@dataclass(frozen=True, eq=False)
class SquaredDifference(Operator):
    """y = requantize((scaled(a - za, 0) - scaled(b - zb, 1))^2): LiteRT's int8 SQUARED_DIFFERENCE.

    scaled(v, i) = RoundingDivideByPOT(SaturatingRoundingDoublingHighMul(v << left_shift, factors[i]), -shifts[i]), below 2^14 in size.
    inputs: (a, b) int8, broadcast against each other as NumPy does; requantize never shifts left, so that nothing exceeds int32.
    """

    zero_points: tuple[int, int]
    factors: tuple[int, int]
    shifts: tuple[int, int]
    left_shift: int
    requantize: FixedRequantize

    @staticmethod
    def build(inputs: tuple[TensorType, TensorType], output: TensorType, quantization: tuple[tuple[float, int], ...],
              low: int = -128, high: int = 127) -> SquaredDifference | None:
        """`quantization` is ((scale, zero_point) of a, b and the output). None where the output's scale is so small that squares leave int32."""
        (sa, za), (sb, zb), (so, zo) = quantization
        left_shift = 7
        a, b, out = (float(np.float32(s)) for s in (sa, sb, so))
        twice = 2 * max(a, b)
        (ma, ea), (mb, eb) = quantize_multiplier(a / twice), quantize_multiplier(b / twice)
        requantize = make_requantize("fixed", twice * twice / ((1 << (2 * left_shift)) * out), zo, low, high)
        assert isinstance(requantize, FixedRequantize)
        fits = int(requantize.shift[0]) <= 0
        return SquaredDifference(inputs, output, (za, zb), (ma, mb), (ea, eb), left_shift, requantize) if fits else None
