"""Arithmetic on two int8 tensors."""

from __future__ import annotations

import numpy as np

from nnc_tvm.reference.dispatch import evaluate
from nnc_tvm.reference.rounding import apply_epilogue
from nnc_tvm.schedules.fixed_point import high_multiply, require_int32, rounding_shift
from nnc_tvm.schedules.gemmlowp import quotient
from nnc_tvm.schedules.operators import Divide, LinearCombination, Multiply, SquaredDifference


@evaluate.register
def linear_combination(operator: LinearCombination, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return apply_epilogue(operator.requantize, _scaled(operator, a, 0) + _scaled(operator, b, 1))


def _scaled(operator: LinearCombination | SquaredDifference, x: np.ndarray, i: int) -> np.ndarray:
    value, factor = x.astype(np.int64) - operator.zero_points[i], operator.factors[i]
    if isinstance(operator, LinearCombination) and not operator.fixed:
        return require_int32(value * factor)
    shifted = require_int32(value << operator.left_shift)
    magnitude = rounding_shift(high_multiply(shifted, abs(factor)), -operator.shifts[i])
    return -magnitude if factor < 0 else magnitude


@evaluate.register
def multiply(operator: Multiply, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    za, zb = operator.zero_points
    return apply_epilogue(operator.requantize, (a.astype(np.int64) - za) * (b.astype(np.int64) - zb))


@evaluate.register
def squared_difference(operator: SquaredDifference, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return apply_epilogue(operator.requantize, (_scaled(operator, a, 0) - _scaled(operator, b, 1)) ** 2)


@evaluate.register
def divide(operator: Divide, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    za, zb = operator.zero_points
    result = quotient(a.astype(np.int64) - za, b.astype(np.int64) - zb, operator.multiplier, operator.shift)
    return np.clip(result + operator.zero_point, operator.low, operator.high).astype(np.int8)
