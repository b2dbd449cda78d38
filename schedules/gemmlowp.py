"""Transcendental functions and quotients in 32-bit fixed point, step for step as gemmlowp's fixedpoint.h rounds them.

A number with i integer bits is an int32 raw value times 2^(i - 31); products of raw values are `high_multiply`.
"""

from __future__ import annotations

import numpy as np

from nnc_tvm.schedules.fixed_point import INT32_MAX, INT32_MIN, high_multiply, rounding_shift

# exp(-2^e) in Q0.31 for e = -2 ... 4
EXP_OF_POWERS = ((-2, 1672461947), (-1, 1302514674), (0, 790015084), (1, 290630308), (2, 39332535), (3, 720401), (4, 242))
EXP_MINUS_EIGHTH = 1895147668  # exp(-1/8), Q0.31
ONE_THIRD = 715827883  # Q0.31
NEWTON_48_17 = 1515870810  # 48/17, Q2.29
NEWTON_32_17 = -1010580540  # -32/17, Q2.29


def saturate(value: np.ndarray) -> np.ndarray:
    return np.clip(value, INT32_MIN, INT32_MAX)


def exp_on_negative_values(a: np.ndarray, integer_bits: int) -> np.ndarray:
    """exp(a) in Q0.31 for raw a <= 0 with `integer_bits` <= 5: a Taylor polynomial on [-1/4, 0) times exp of powers of two."""
    fraction = 31 - integer_bits
    quarter = 1 << (fraction - 2)
    within = (a & (quarter - 1)) - quarter
    x = (within << integer_bits) + (1 << 28)  # centred: exp(within) = exp(-1/8) * exp(x)
    x2 = high_multiply(x, x)
    x3, x4 = high_multiply(x2, x), high_multiply(x2, x2)
    tail = rounding_shift(high_multiply(rounding_shift(x4, 2) + x3, ONE_THIRD) + x2, 1)
    result = saturate(EXP_MINUS_EIGHTH + high_multiply(x + tail, EXP_MINUS_EIGHTH))
    remainder = within - a
    for exponent, factor in EXP_OF_POWERS:
        if integer_bits > exponent:
            result = np.where(remainder & (1 << (fraction + exponent)), high_multiply(result, factor), result)
    return np.where(a == 0, INT32_MAX, result)


def one_over_one_plus(a: np.ndarray) -> np.ndarray:
    """1 / (1 + a) in Q0.31 for a in [0, 1), Q0.31: Newton's iteration on half the denominator."""
    half = (a + INT32_MAX + 1) >> 1
    x = NEWTON_48_17 + high_multiply(half, NEWTON_32_17)
    for _ in range(3):
        error = (1 << 29) - high_multiply(half, x)
        x = x + saturate(high_multiply(x, error) << 2)
    return saturate(x << 1)


def reciprocal(x: np.ndarray, integer_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """(r, k) with 1 / x = r * 2^-k, r in Q0.31, for raw x > 0 with `integer_bits` integer bits."""
    leading = 31 - np.floor(np.log2(x.astype(np.float64))).astype(np.int64)  # leading zeros of the uint32
    return one_over_one_plus((x << leading) - (1 << 31)), integer_bits - leading


def quotient(a: np.ndarray, b: np.ndarray, multiplier: int, shift: int) -> np.ndarray:
    """a / b * multiplier * 2^(shift - 31) for |a|, |b| < 2^16, broadcast, as LiteRT's DIV rounds it: at the reciprocal, at either product, at the shift.

    INT32_MAX with the sign of a where b is 0. A result below 1/2 is 0; where that takes a shift by more than 31 bits, LiteRT's own is undefined.
    """
    numerator, denominator = np.where(b < 0, -a, a).astype(np.int64), np.abs(b).astype(np.int64)
    inverse, over_unit = reciprocal(np.maximum(denominator, 1), 31)
    headroom = 31 - np.frexp(numerator ^ (numerator >> 63))[1].astype(np.int64)
    product = high_multiply(high_multiply(numerator << headroom, inverse), multiplier)
    exponent = over_unit + headroom - shift
    rounded = np.where(exponent > 31, 0, rounding_shift(product, np.clip(exponent, 0, 31)))
    return np.where(denominator == 0, np.sign(numerator) * INT32_MAX, rounded)
