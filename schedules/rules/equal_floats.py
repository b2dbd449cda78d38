"""Fixed-point results of two bytes as products of float32, where these give the same integers: all 65536 pairs are tried.

A factor beside the real one brings ties to the side where fixed point rounds them; where ties fall to both sides, there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from nnc_tvm.schedules.fixed_point import high_multiply, multiply_by_quantized, rounding_shift
from nnc_tvm.schedules.gemmlowp import quotient
from nnc_tvm.schedules.operators import Divide, SquaredDifference
from nnc_tvm.schedules.quantization import FloatRequantize

REACH = 8  # steps of float32 that a factor may be off its real value


def nearby(real: float) -> Iterator[np.float32]:
    """float32 numbers about `real` > 0, the nearest first."""
    below = above = np.float32(real)
    yield below
    for _ in range(REACH):
        below, above = np.nextafter(below, np.float32(0)), np.nextafter(above, np.float32(np.inf))
        yield from (above, below)


def real_factor(multiplier: int, shift: int) -> float:
    return float(multiplier) * 2.0 ** (shift - 31)


def differences(zero_points: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """int64 (256, 1) and (1, 256): every byte less its zero point."""
    a, b = (np.arange(-128, 128, dtype=np.int64) - zero_point for zero_point in zero_points)
    return a[:, None], b[None]


def _first(real: float, wanted: np.ndarray, low: int, high: int, product: Callable[[np.float32], np.ndarray]) -> np.float32 | None:
    """The first factor with clamp(rint(product(factor)), low, high) == wanted throughout."""
    with np.errstate(all="ignore"):
        return next((f for f in nearby(real) if np.array_equal(np.rint(np.clip(np.nan_to_num(product(f), nan=0.0), low, high)), wanted)), None)


def float_quotient(operator: Divide) -> np.float32 | None:
    """The factor with y = clamp(rint((a - za) * factor / (b - zb)) + zero_point, low, high), where 0 / 0 counts as 0; None where there is none."""
    a, b = differences(operator.zero_points)
    low, high = operator.low - operator.zero_point, operator.high - operator.zero_point
    wanted = np.clip(quotient(a, b, operator.multiplier, operator.shift), low, high)
    return _first(real_factor(operator.multiplier, operator.shift), wanted, low, high, lambda factor: a.astype(np.float32) * factor / b.astype(np.float32))


def float_requantize(operator: SquaredDifference) -> FloatRequantize | None:
    """The requantization in floats with the same results as the operator's own; None where there is none.

    Products of bytes have none: they are so small that rounding twice shows.
    """
    fixed = operator.requantize
    acc = np.unique(squares(operator, *differences(operator.zero_points)))
    low, high = fixed.low - fixed.zero_point, fixed.high - fixed.zero_point
    wanted = np.clip(multiply_by_quantized(acc, fixed.multiplier[0], fixed.shift[0]), low, high)
    scale = _first(real_factor(int(fixed.multiplier[0]), int(fixed.shift[0])), wanted, low, high, lambda factor: acc.astype(np.float32) * factor)
    return None if scale is None else FloatRequantize(np.array([scale]), fixed.zero_point, fixed.low, fixed.high)


def squares(operator: SquaredDifference, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The squares that SquaredDifference requantizes."""
    terms = [rounding_shift(high_multiply(value << operator.left_shift, factor), -shift)
             for value, factor, shift in zip((a, b), operator.factors, operator.shifts, strict=True)]
    return (terms[0] - terms[1]) ** 2
