"""From accumulator to output element, as TE expressions: the equations of `quantization` in the form kernels inline.

Two steps, so that a kernel can take each at its best vector width: `requantize` gives int16 (or the float result) per accumulator,
`finish` adds the zero point, clamps and narrows to int8. `apply_epilogue` is both.
"""

from __future__ import annotations

import math
from functools import singledispatch
from typing import Any

import numpy as np
from tvm import te, tirx

from nnc_tvm.schedules.quantization import Epilogue, FixedRequantize, FloatClamp, FloatRequantize, KeepInt32, RescaleAtRunTime, ScaleToFloat

Expr = Any
Constants = list[tuple[str, np.ndarray]]


def const(value: float, dtype: str) -> Expr:
    return tirx.const(value, dtype)


@singledispatch
def epilogue_constants(epilogue: Epilogue, channels: int) -> Constants:
    """Named per-channel arrays that the epilogue reads, each padded with zeros to `channels` entries.

    RescaleAtRunTime reads the scales times the row's, and where there are sums these times the row's zero point: see `run_time_values`.
    """
    raise TypeError(type(epilogue))


@singledispatch
def requantize(epilogue: Epilogue, acc: Expr, parameters: list[Expr], arithmetic: Arithmetic) -> Expr:
    """The result before its zero point: saturated to int16, or final for the epilogues without one (float32 and int32 results).

    `parameters` are the channel's entries of `epilogue_constants`, in order.
    """
    raise TypeError(type(epilogue))


def finish(epilogue: Epilogue, value: Expr, arithmetic: Arithmetic) -> Expr:
    """The output element for a result of `requantize`: clamp(value + zero_point, low, high) as int8; float32 and int32 results are final."""
    if isinstance(epilogue, ScaleToFloat | RescaleAtRunTime | FloatClamp | KeepInt32):
        return value
    return arithmetic.to_int8(value, epilogue.zero_point, epilogue.low, epilogue.high)


def narrows_at_once(epilogue: Epilogue, arithmetic: Arithmetic) -> bool:
    """Whether int32 goes to int8 without the way over int16: where the CPU does so, and no rounded sum is near int32's bounds."""
    return arithmetic.narrows_int32 and isinstance(epilogue, FloatRequantize) and bool((epilogue.scale <= 0.5).all())


def rounded(epilogue: Epilogue, acc: Expr, parameters: list[Expr], arithmetic: Arithmetic) -> Expr:
    """As `requantize`, for `narrowed` alone: int32 where that narrows at once."""
    if narrows_at_once(epilogue, arithmetic):
        return tirx.call_llvm_pure_intrin("int32", "llvm.lrint", acc.astype("float32") * parameters[0])
    return requantize(epilogue, acc, parameters, arithmetic)


def narrowed(epilogue: Epilogue, value: Expr, arithmetic: Arithmetic) -> Expr:
    """The output element for a result of `rounded`."""
    if isinstance(epilogue, FloatRequantize) and narrows_at_once(epilogue, arithmetic):
        return clamp(value + const(epilogue.zero_point, "int32"), epilogue.low, epilogue.high, "int32").astype("int8")
    return finish(epilogue, value, arithmetic)


def apply_epilogue(epilogue: Epilogue, acc: Expr, parameters: list[Expr]) -> Expr:
    """The output element for the accumulator `acc`."""
    return finish(epilogue, requantize(epilogue, acc, parameters, PORTABLE), PORTABLE)


def spread(values: np.ndarray, channels: int, count: int) -> np.ndarray:
    """(1,) or (count,) values as (channels,): repeated or zero-padded."""
    full = np.zeros(channels, values.dtype)
    full[:count] = values
    return full


@epilogue_constants.register
def _(epilogue: FixedRequantize, channels: int) -> Constants:
    n = epilogue.multiplier.size if epilogue.multiplier.size > 1 else channels
    return [("multiplier", spread(epilogue.multiplier, channels, n)), ("shift", spread(epilogue.shift, channels, n))]


@epilogue_constants.register(FloatRequantize)
@epilogue_constants.register(ScaleToFloat)
def _(epilogue: FloatRequantize | ScaleToFloat, channels: int) -> Constants:
    return [("scale", spread(epilogue.scale, channels, epilogue.scale.size if epilogue.scale.size > 1 else channels))]


@epilogue_constants.register
def _(epilogue: RescaleAtRunTime, channels: int) -> Constants:
    sums = [("sums", epilogue.sums)] if epilogue.sums.any() else []
    return [(name, spread(values, channels, values.size)) for name, values in (("bias", epilogue.bias), ("scale", epilogue.scale), *sums)]


def run_time_values(constants: list[Expr], scale: Expr, zero_point: Expr) -> list[Expr]:
    """What `requantize` takes in place of a RescaleAtRunTime's constants, for the row's float32 scale and zero point."""
    return [constants[0], *(run_time_value(constant, scale, zero_point) for constant in constants[1:])]


def run_time_value(constant: Expr, scale: Expr, zero_point: Expr) -> Expr:
    """A scale times the row's, or a sum times the row's zero point."""
    return constant * (scale if constant.dtype == "float32" else zero_point.astype("int32"))


@epilogue_constants.register(FloatClamp)
@epilogue_constants.register(KeepInt32)
def _(epilogue: FloatClamp | KeepInt32, channels: int) -> Constants:
    return []


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
    """

    shortest = 1 << 30
    narrows_int32 = False

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


@requantize.register
def _(epilogue: FixedRequantize, acc: Expr, parameters: list[Expr], arithmetic: Arithmetic) -> Expr:
    if epilogue.single_rounding:
        return arithmetic.to_int16(multiply_by_quantized_once(acc, *parameters))
    multiplier, shift = parameters
    return arithmetic.to_int16(multiply_by_quantized(acc, multiplier, shift, arithmetic, bool((epilogue.shift > 0).any()), epilogue.only_positive))


@requantize.register
def _(epilogue: FloatRequantize, acc: Expr, parameters: list[Expr], arithmetic: Arithmetic) -> Expr:
    return arithmetic.round_to_int16(acc.astype("float32") * parameters[0], fits=bool((epilogue.scale < 1).all()))


@requantize.register
def _(epilogue: ScaleToFloat, acc: Expr, parameters: list[Expr], arithmetic: Arithmetic) -> Expr:
    return arithmetic.bounded(acc.astype("float32") * parameters[0], epilogue.low, epilogue.high)


@requantize.register
def _(epilogue: RescaleAtRunTime, acc: Expr, parameters: list[Expr], arithmetic: Arithmetic) -> Expr:
    bias, scale, *corrections = parameters
    if corrections and not epilogue.in_bias:
        acc = acc - corrections[0]
    return arithmetic.bounded(acc.astype("float32") * scale + bias, epilogue.low, epilogue.high)


@requantize.register
def _(epilogue: FloatClamp, acc: Expr, parameters: list[Expr], arithmetic: Arithmetic) -> Expr:
    return arithmetic.bounded(acc, epilogue.low, epilogue.high)


@requantize.register
def _(epilogue: KeepInt32, acc: Expr, parameters: list[Expr], arithmetic: Arithmetic) -> Expr:
    return acc
