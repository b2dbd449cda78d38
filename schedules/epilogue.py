"""From accumulator to output element, as TE expressions: the equations of `quantization` in the form kernels inline."""

from __future__ import annotations

import math
from functools import singledispatch
from typing import Any

import numpy as np
from tvm import te, tirx

from nnc_tvm.schedules.quantization import Epilogue, FixedRequantize, FloatClamp, FloatRequantize, ScaleToFloat

Expr = Any
Constants = list[tuple[str, np.ndarray]]


def const(value: float, dtype: str) -> Expr:
    return tirx.const(value, dtype)


@singledispatch
def epilogue_constants(epilogue: Epilogue, channels: int) -> Constants:
    """Named per-channel arrays that the epilogue reads, each padded with zeros to `channels` entries."""
    raise TypeError(type(epilogue))


@singledispatch
def apply_epilogue(epilogue: Epilogue, acc: Expr, parameters: list[Expr]) -> Expr:
    """The output element for the accumulator `acc`; `parameters` are the channel's entries of `epilogue_constants`, in order."""
    raise TypeError(type(epilogue))


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
def _(epilogue: FloatClamp, channels: int) -> Constants:
    return []


def clamp(value: Expr, low: float, high: float, dtype: str) -> Expr:
    """max(min(value, high), low) for `value` of `dtype`; infinite bounds cost nothing."""
    if high != math.inf:
        value = te.min(value, const(high, dtype))
    if low != -math.inf:
        value = te.max(value, const(low, dtype))
    return value


def high_multiply(a: Expr, b: Expr) -> Expr:
    """gemmlowp's SaturatingRoundingDoublingHighMul for b >= 0: round(a * b / 2^31), halves up; int32.

    Signed throughout: TVM's simplifier takes a value cast from uint64 for non-negative and would drop the sign test of what follows.
    """
    product = a.astype("int64") * b.astype("int64") + const(1 << 30, "int64")
    return (product >> const(31, "int64")).astype("int32")


def rounding_shift(value: Expr, exponent: Expr) -> Expr:
    """gemmlowp's RoundingDivideByPOT: value / 2^exponent, halves away from zero; exponent int32 in [0, 31], |value| < 2^31 - 1.

    Negative values less one, rounded with halves up. Half is added after all but the last bit are shifted out, so nothing overflows;
    exponent 0 changes nothing. `value` is used twice only: uses multiply where these are nested, and with them TVM's time.
    """
    last = te.min(exponent, const(1, "int32"))
    lowered = value + te.max(value >> const(31, "int32"), const(0, "int32") - last)
    return ((lowered >> (exponent - last)) + last) >> last


def multiply_by_quantized(acc: Expr, multiplier: Expr, shift: Expr) -> Expr:
    """acc * multiplier * 2^(shift - 31) as LiteRT's MultiplyByQuantizedMultiplier rounds it; int32."""
    zero = const(0, "int32")
    left, right = te.max(shift, zero), te.max(zero - shift, zero)
    return rounding_shift(high_multiply(acc << left, multiplier), right)


def multiply_by_quantized_once(acc: Expr, multiplier: Expr, shift: Expr) -> Expr:
    """acc * multiplier * 2^(shift - 31) with one rounding, halves away from zero; int32."""
    total = const(31, "int64") - shift.astype("int64")
    half = const(1, "int64") << (total - const(1, "int64"))
    below = (acc >> const(31, "int32")).astype("int64")  # -1 for negative products: their halves go down
    return ((acc.astype("int64") * multiplier.astype("int64") + half + below) >> total).astype("int32")


@apply_epilogue.register
def _(epilogue: FixedRequantize, acc: Expr, parameters: list[Expr]) -> Expr:
    multiply = multiply_by_quantized_once if epilogue.single_rounding else multiply_by_quantized
    value = multiply(acc, *parameters) + const(epilogue.zero_point, "int32")
    return clamp(value, epilogue.low, epilogue.high, "int32").astype("int8")


@apply_epilogue.register
def _(epilogue: FloatRequantize, acc: Expr, parameters: list[Expr]) -> Expr:
    # clamped before rounding: the bounds are integers, so the result is the same and the conversion to int32 cannot overflow
    value = clamp(acc.astype("float32") * parameters[0], epilogue.low - epilogue.zero_point, epilogue.high - epilogue.zero_point, "float32")
    return (tirx.nearbyint(value).astype("int32") + const(epilogue.zero_point, "int32")).astype("int8")


@apply_epilogue.register
def _(epilogue: ScaleToFloat, acc: Expr, parameters: list[Expr]) -> Expr:
    return clamp(acc.astype("float32") * parameters[0], epilogue.low, epilogue.high, "float32")


@apply_epilogue.register
def _(epilogue: FloatClamp, acc: Expr, parameters: list[Expr]) -> Expr:
    return clamp(acc, epilogue.low, epilogue.high, "float32")


