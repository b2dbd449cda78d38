"""Element-wise arithmetic on two int8 tensors: addition, subtraction, multiplication, with broadcasting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nnc_tvm.schedules.operators.operator import Operator, TensorType
from nnc_tvm.schedules.quantization import FixedRequantize, Mode, Requantize, make_requantize, quantize_multiplier


@dataclass(frozen=True, eq=False)
class LinearCombination(Operator):
    """y = requantize(scaled(a - za, 0) + scaled(b - zb, 1)): addition and subtraction.

    `fixed` (LiteRT's reference ADD and SUB): scaled(v, i) = RoundingDivideByPOT(SaturatingRoundingDoublingHighMul(v << left_shift,
    |factors[i]|), -shifts[i]), negated where factors[i] < 0. `float`: scaled(v, i) = v * factors[i] in int32, exact, with
    shifts and left_shift 0: the factors are the real ones times a common power of two, which `requantize` takes away again.

    inputs: (a, b) int8, broadcast against each other as NumPy does; factors: int32 each, |sum| of the two terms < 2^30.
    """

    zero_points: tuple[int, int]
    factors: tuple[int, int]
    shifts: tuple[int, int]
    left_shift: int
    requantize: Requantize

    @staticmethod
    def build(mode: Mode, inputs: tuple[TensorType, TensorType], output: TensorType, quantization: tuple[tuple[float, int], ...],
              sign: int = 1, low: int = -128, high: int = 127) -> LinearCombination:
        """a + sign * b; `quantization` is ((scale, zero_point) of a, b and the output)."""
        (sa, za), (sb, zb), (so, zo) = quantization
        if mode == "fixed":
            left_shift = 20
            twice = 2 * max(float(np.float32(sa)), float(np.float32(sb)))
            (ma, ea), (mb, eb) = quantize_multiplier(float(np.float32(sa)) / twice), quantize_multiplier(float(np.float32(sb)) / twice)
            real = twice / ((1 << left_shift) * float(np.float32(so)))
            return LinearCombination(inputs, output, (za, zb), (ma, sign * mb), (ea, eb), left_shift, make_requantize(mode, real, zo, low, high))
        # |v| <= 255 for both terms: the larger factor below 2^20 keeps the sum below 2^29
        exponent = 20 - int(np.ceil(np.log2(max(sa, sb) / so)))
        factors = (round(sa / so * 2.0**exponent), sign * round(sb / so * 2.0**exponent))
        return LinearCombination(inputs, output, (za, zb), factors, (0, 0), 0, make_requantize(mode, 2.0**-exponent, zo, low, high))

    @property
    def fixed(self) -> bool:
        return isinstance(self.requantize, FixedRequantize)


@dataclass(frozen=True, eq=False)
class Multiply(Operator):
    """y = requantize((a - za) * (b - zb)).

    inputs: (a, b) int8, broadcast against each other as NumPy does.
    """

    zero_points: tuple[int, int]
    requantize: Requantize

    @staticmethod
    def build(mode: Mode, inputs: tuple[TensorType, TensorType], output: TensorType, quantization: tuple[tuple[float, int], ...],
              low: int = -128, high: int = 127) -> Multiply:
        """`quantization` is ((scale, zero_point) of a, b and the output). LiteRT's MUL computes the real factor in float32."""
        (sa, za), (sb, zb), (so, zo) = quantization
        real = np.float32(sa) * np.float32(sb) / np.float32(so)
        return Multiply(inputs, output, (za, zb), make_requantize(mode, float(real), zo, low, high))
