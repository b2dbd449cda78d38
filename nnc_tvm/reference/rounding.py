"""From accumulator to output element in NumPy: the equations of `schedules.quantization`."""

from __future__ import annotations

from functools import singledispatch

import numpy as np

from nnc_tvm.schedules.fixed_point import multiply_by_quantized, multiply_by_quantized_once, require_int32
from nnc_tvm.schedules.quantization import Epilogue, FixedRequantize, FloatClamp, FloatRequantize, KeepInt32, RescaleAtRunTime, ScaleToFloat


def apply(epilogue: Epilogue, acc: np.ndarray, *parameters: np.ndarray) -> np.ndarray:
    """As `apply_epilogue`; parameters: of the run, where the epilogue has them."""
    return rescale_at_run_time(epilogue, acc, *parameters) if isinstance(epilogue, RescaleAtRunTime) else apply_epilogue(epilogue, acc)


def rescale_at_run_time(epilogue: RescaleAtRunTime, acc: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """float32 for accumulators (..., channels) whose leading extents are the rows of parameters (2, rows): zero points and scales."""
    zero, scale = (values.reshape(-1, 1, 1) for values in parameters)
    rows = acc.reshape(parameters.shape[1], -1, acc.shape[-1]).astype(np.int64)
    real = (rows - zero.astype(np.int64) * epilogue.sums).astype(np.int32).astype(np.float32) * (scale * epilogue.scale) + epilogue.bias
    return np.clip(real, np.float32(epilogue.low), np.float32(epilogue.high)).astype(np.float32).reshape(acc.shape)


@singledispatch
def apply_epilogue(epilogue: Epilogue, acc: np.ndarray) -> np.ndarray:
    """The output elements for accumulators (..., channels): int8, int32 or float32, of the same shape."""
    raise NotImplementedError(f"the reference does not know the epilogue {type(epilogue).__name__}")


@apply_epilogue.register
def _(epilogue: FixedRequantize, acc: np.ndarray) -> np.ndarray:
    multiply = multiply_by_quantized_once if epilogue.single_rounding else multiply_by_quantized
    scaled = multiply(require_int32(acc), epilogue.multiplier.astype(np.int64), epilogue.shift.astype(np.int64))
    return np.clip(scaled + epilogue.zero_point, epilogue.low, epilogue.high).astype(np.int8)


@apply_epilogue.register
def _(epilogue: FloatRequantize, acc: np.ndarray) -> np.ndarray:
    scaled = require_int32(acc).astype(np.float32) * epilogue.scale.astype(np.float32)
    rounded = np.rint(np.clip(scaled, np.float32(epilogue.low - epilogue.zero_point), np.float32(epilogue.high - epilogue.zero_point)))
    return (rounded.astype(np.int64) + epilogue.zero_point).astype(np.int8)


@apply_epilogue.register
def _(epilogue: ScaleToFloat, acc: np.ndarray) -> np.ndarray:
    scaled = require_int32(acc).astype(np.float32) * epilogue.scale.astype(np.float32)
    return np.clip(scaled, np.float32(epilogue.low), np.float32(epilogue.high))


@apply_epilogue.register
def _(epilogue: FloatClamp, acc: np.ndarray) -> np.ndarray:
    return np.clip(acc.astype(np.float32), np.float32(epilogue.low), np.float32(epilogue.high))


@apply_epilogue.register
def _(epilogue: KeepInt32, acc: np.ndarray) -> np.ndarray:
    return require_int32(acc).astype(np.int32)
