"""The integer rounding steps of `quantization` in NumPy, on int64 arrays: what a kernel's int32 arithmetic must equal.

Source: gemmlowp's fixedpoint.h and LiteRT's kernels/internal/common.h.
"""

from __future__ import annotations

import numpy as np

INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1


def require_int32(acc: np.ndarray) -> np.ndarray:
    """`acc` as int64, all of it within int32. Raises OverflowError naming the value that is not."""
    wide = acc.astype(np.int64)
    if wide.size and (wide.min() < INT32_MIN or wide.max() > INT32_MAX):
        worst = int(wide.max()) if wide.max() > INT32_MAX else int(wide.min())
        raise OverflowError(f"an int32 accumulator cannot hold {worst}")
    return wide


def high_multiply(a: np.ndarray, b: np.ndarray | int) -> np.ndarray:
    """gemmlowp's SaturatingRoundingDoublingHighMul: round(a * b / 2^31), halves up, saturated; a and b within int32."""
    return np.minimum((a.astype(np.int64) * b + (1 << 30)) >> 31, INT32_MAX)


def rounding_shift(value: np.ndarray, exponent: np.ndarray | int) -> np.ndarray:
    """gemmlowp's RoundingDivideByPOT: value / 2^exponent, halves away from zero; exponent in [0, 31]."""
    wide = value.astype(np.int64)
    half = (np.int64(1) << np.asarray(exponent, np.int64)) >> 1
    return np.where(wide < 0, -((half - wide) >> exponent), (wide + half) >> exponent)


def round_half_away(real: np.ndarray) -> np.ndarray:
    """float64 rounded to integers, halves away from zero, as C's round(); |real| < 2^52."""
    return np.copysign(np.floor(np.abs(real) + 0.5), real)


def divide_half_away(value: np.ndarray, count: np.ndarray | int) -> np.ndarray:
    """value / count, halves away from zero; count > 0."""
    wide = value.astype(np.int64)
    return np.sign(wide) * ((np.abs(wide) + np.asarray(count, np.int64) // 2) // count)


def multiply_by_quantized(acc: np.ndarray, multiplier: np.ndarray | int, shift: np.ndarray | int) -> np.ndarray:
    """acc * multiplier * 2^(shift - 31) as LiteRT's MultiplyByQuantizedMultiplier rounds it: twice, at the multiply and at the shift.

    multiplier in [0, 2^31), shift in [-31, 30]. Raises OverflowError where a left shift leaves int32.
    """
    exponent = np.asarray(shift, np.int64)
    shifted = require_int32(acc.astype(np.int64) << np.maximum(exponent, 0))
    return rounding_shift(high_multiply(shifted, np.asarray(multiplier, np.int64)), np.maximum(-exponent, 0))


def multiply_by_quantized_once(acc: np.ndarray, multiplier: np.ndarray | int, shift: np.ndarray | int) -> np.ndarray:
    """acc * multiplier * 2^(shift - 31) rounded once, halves away from zero; multiplier in [0, 2^31), shift in [-31, 30], acc within int32."""
    total = 31 - np.asarray(shift, np.int64)
    product = acc.astype(np.int64) * multiplier
    return (product + (np.int64(1) << (total - 1)) - (product < 0)) >> total
