"""The arithmetic of kernels, as TE expressions: rounding, saturation and gemmlowp's products, in operations that every CPU has.

`Arithmetic` collects what instruction sets have instructions of their own for, and override in `intrin/`.
"""

from __future__ import annotations

import math
from typing import Any

from tvm import te, tirx

Expr = Any


def const(value: float, dtype: str) -> Expr:
    return tirx.const(value, dtype)


def clamp(value: Expr, low: float, high: float, dtype: str) -> Expr:
    """max(min(value, high), low) for `value` of `dtype`; infinite bounds cost nothing."""
    if high != math.inf:
        value = te.min(value, const(high, dtype))
    if low != -math.inf:
        value = te.max(value, const(low, dtype))
    return value


def round_half_even(value: Expr) -> Expr:
    """float32 rounded to an integer, half to even. LLVM's intrinsic: TVM's vectorizer takes tirx.nearbyint apart into scalars."""
    return tirx.call_llvm_pure_intrin("float32", "llvm.roundeven", value)


def round_half_away(value: Expr) -> Expr:
    """float32 rounded to an integer, half away from zero."""
    return tirx.call_llvm_pure_intrin("float32", "llvm.round", value)


def high_multiply(a: Expr, b: Expr) -> Expr:
    """gemmlowp's SaturatingRoundingDoublingHighMul for b >= 0: round(a * b / 2^31), halves up; int32.

    Signed throughout: TVM's simplifier takes a value cast from uint64 for non-negative and would drop the sign test of what follows.
    """
    product = a.astype("int64") * b.astype("int64") + const(1 << 30, "int64")
    return (product >> const(31, "int64")).astype("int32")


def rounding_shift(value: Expr, exponent: Expr) -> Expr:
    """gemmlowp's RoundingDivideByPOT: value / 2^exponent, halves away from zero; exponent int32 in [0, 31], |value| < 2^31 - 1.

    Negative values less one, rounded with halves up; exponent 0 changes nothing. `value` is used twice only: uses multiply where these
    are nested, and with them TVM's time.
    """
    last = te.min(exponent, const(1, "int32"))
    return shift_halves_up(value + te.max(value >> const(31, "int32"), const(0, "int32") - last), exponent)


def shift_halves_up(value: Expr, exponent: Expr) -> Expr:
    """value / 2^exponent, halves up; exponent int32 in [0, 31]. Half is added after all but the last bit are shifted out, so nothing overflows."""
    last = te.min(exponent, const(1, "int32"))
    return ((value >> (exponent - last)) + last) >> last


class Arithmetic:
    """The steps of requantization in operations that every CPU has. Instruction sets override those that they have instructions for.

    shortest: lanes of the shortest vector that requantizes well; those that say nothing take whole vectors of accumulators only.
    narrows_int32: int32 saturates to int8 in one instruction.
    high_multiply_is_slow: float32 requantizes faster, which matters where it gives the same integers.
    """

    shortest = 1 << 30
    narrows_int32 = False
    high_multiply_is_slow = False

    def high_multiply(self, a: Expr, b: Expr) -> Expr:
        """As the function `high_multiply`."""
        return high_multiply(a, b)

    def rounding_shift(self, value: Expr, shift: Expr) -> Expr:
        """`rounding_shift` by -shift; shift int32 in [-31, 0]."""
        return rounding_shift(value, const(0, "int32") - shift)

    def shift_halves_up(self, value: Expr, shift: Expr) -> Expr:
        """`shift_halves_up` by -shift; shift int32 in [-31, 0]."""
        return shift_halves_up(value, const(0, "int32") - shift)

    def to_int16(self, value: Expr) -> Expr:
        """int32 saturated to int16."""
        return clamp(value, -(2**15), 2**15 - 1, "int32").astype("int16")

    def round_to_int16(self, value: Expr, fits: bool = False) -> Expr:
        """float32 rounded half to even and saturated to int16. `fits`: it is within int32."""
        # clamped before rounding: the bounds are integers, so the result is the same and the conversion to int32 cannot overflow
        return round_half_even(clamp(value, -(2**15), 2**15 - 1, "float32")).astype("int32").astype("int16")

    def round_away_to_int16(self, value: Expr) -> Expr:
        """float32 within int32 rounded half away from zero and saturated to int16."""
        return round_half_away(clamp(value, -(2**15), 2**15 - 1, "float32")).astype("int32").astype("int16")

    def maximum(self, a: Expr, b: Expr) -> Expr:
        """Of float32."""
        return te.max(a, b)

    def minimum(self, a: Expr, b: Expr) -> Expr:
        """Of float32."""
        return te.min(a, b)

    def bounded(self, value: Expr, low: float, high: float) -> Expr:
        """`clamp` of float32."""
        if high != math.inf:
            value = self.minimum(value, const(high, "float32"))
        return value if low == -math.inf else self.maximum(value, const(low, "float32"))

    def quotient(self, value: Expr, divisor: Expr, reciprocal: Expr) -> Expr:
        """value / divisor, of which the second is finite and not 0, as float32 rounds it; reciprocal: 1 / divisor, rounded."""
        return value / divisor

    def moved_to_int8(self, value: Expr, zero_point: Expr) -> Expr:
        """value + zero_point, int16 of which the second is within int8, saturated to int8."""
        return clamp(clamp(value, -256, 255, "int16") + zero_point, -128, 127, "int16").astype("int8")

    def to_int8(self, value: Expr, zero_point: int, low: int, high: int) -> Expr:
        """clamp(value + zero_point, low, high) for int16 values; the sum is not formed where it would overflow."""
        return (clamp(value, low - zero_point, high - zero_point, "int16") + const(zero_point, "int16")).astype("int8")


class SaturatingArithmetic(Arithmetic):
    """For CPUs that saturate when they add and narrow: LLVM has instructions for both."""

    def to_int8(self, value: Expr, zero_point: int, low: int, high: int) -> Expr:
        if (zero_point, low, high) == (-128, -128, 127):  # a ReLU on all of int8: narrowed to uint8, whose zero is that of int8 with another sign
            return clamp(value, 0, 255, "int16").astype("int8") ^ const(-128, "int8")
        total = tirx.call_llvm_pure_intrin("int16", "llvm.sadd.sat", value, const(zero_point, "int16")) if zero_point else value
        narrow = clamp(total, -128, 127, "int16").astype("int8")
        return clamp(narrow, low if low > -128 else -math.inf, high if high < 127 else math.inf, "int8")

    def moved_to_int8(self, value: Expr, zero_point: Expr) -> Expr:
        return clamp(tirx.call_llvm_pure_intrin("int16", "llvm.sadd.sat", value, zero_point), -128, 127, "int16").astype("int8")


PORTABLE = Arithmetic()


def multiply_by_quantized(acc: Expr, multiplier: Expr, shift: Expr, arithmetic: Arithmetic, grows: bool = True, only_positive: bool = False) -> Expr:
    """acc * multiplier * 2^(shift - 31) as LiteRT's MultiplyByQuantizedMultiplier rounds it; int32.

    grows: some shift is positive. only_positive: of negative results only the sign matters, so that their halves may be rounded up.
    """
    right = arithmetic.shift_halves_up if only_positive else arithmetic.rounding_shift
    if not grows:
        return right(arithmetic.high_multiply(acc, multiplier), shift)
    zero = const(0, "int32")
    return right(arithmetic.high_multiply(acc << te.max(shift, zero), multiplier), te.min(shift, zero))


def multiply_by_quantized_once(acc: Expr, multiplier: Expr, shift: Expr) -> Expr:
    """acc * multiplier * 2^(shift - 31) with one rounding, halves away from zero; int32."""
    total = const(31, "int64") - shift.astype("int64")
    half = const(1, "int64") << (total - const(1, "int64"))
    below = (acc >> const(31, "int32")).astype("int64")  # -1 for negative products: their halves go down
    return ((acc.astype("int64") * multiplier.astype("int64") + half + below) >> total).astype("int32")
