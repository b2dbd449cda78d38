"""From accumulator to output element, as TE expressions: the equations of `quantization` in the form kernels inline.

Two steps, so that a kernel can take each at its best vector width: `requantize` gives int16 (or the float result) per accumulator,
`finish` adds the zero point, clamps and narrows to int8. `apply_epilogue` is both.
"""

from __future__ import annotations

from functools import singledispatch

import numpy as np
from tvm import tirx

from nnc_tvm.schedules.arithmetic import PORTABLE, Arithmetic, Expr, clamp, const, multiply_by_quantized, multiply_by_quantized_once
from nnc_tvm.schedules.quantization import Epilogue, FixedRequantize, FloatClamp, FloatRequantize, KeepInt32, RescaleAtRunTime, ScaleToFloat

Constants = list[tuple[str, np.ndarray]]


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
