"""Quotients of two int8 tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nnc_tvm.schedules.operators.operator import Operator, TensorType
from nnc_tvm.schedules.quantization import quantize_multiplier


@dataclass(frozen=True, eq=False)
class Divide(Operator):
    """y = clamp(zero_point + quotient(a - za, b - zb, multiplier, shift), low, high), with `quotient` of `schedules.gemmlowp`: LiteRT's DIV.

    inputs: (a, b) int8, broadcast against each other as NumPy does; zero_points: theirs. multiplier: int32, 0 or in [2^30, 2^31); shift: at most
    `MAX_SHIFT`. Where b is its zero point y is the bound on a's side, and the zero point where a is its own, too; LiteRT refuses such b when it runs.
    """

    MAX_SHIFT = 23  # every byte has so many sign bits to spare: what is left to do is never a left shift

    zero_points: tuple[int, int]
    multiplier: int
    shift: int
    zero_point: int
    low: int = -128
    high: int = 127

    @staticmethod
    def build(inputs: tuple[TensorType, TensorType], output: TensorType, quantization: tuple[tuple[float, int], ...],
              low: int = -128, high: int = 127) -> Divide | None:
        """`quantization` is ((scale, zero_point) of a, b and the output); LiteRT divides the scales in float32. None for factors above 2^MAX_SHIFT."""
        (sa, za), (sb, zb), (so, zo) = quantization
        multiplier, shift = quantize_multiplier(float(np.float32(sa) / (np.float32(sb) * np.float32(so))))
        return Divide(inputs, output, (za, zb), multiplier, shift, zo, low, high) if shift <= Divide.MAX_SHIFT else None
