"""Softmax on int8."""

from __future__ import annotations

import numpy as np

from nnc_tvm.reference.dispatch import evaluate
from nnc_tvm.schedules.fixed_point import high_multiply, require_int32, rounding_shift
from nnc_tvm.schedules.gemmlowp import exp_on_negative_values, reciprocal
from nnc_tvm.schedules.operators import FixedSoftmax, TableSoftmax


@evaluate.register
def fixed_softmax(operator: FixedSoftmax, x: np.ndarray) -> np.ndarray:
    difference = x.astype(np.int64) - x.max(axis=-1, keepdims=True)
    counts = difference >= operator.diff_min
    scaled = high_multiply(require_int32(np.where(counts, difference, 0) << operator.shift), operator.multiplier)
    exponential = exp_on_negative_values(scaled, 5)
    total = require_int32(np.sum(np.where(counts, rounding_shift(exponential, 12), 0), axis=-1, keepdims=True))
    scale, over_unit = reciprocal(total, 12)
    value = rounding_shift(high_multiply(exponential, scale), over_unit + 31 - 8) - 128
    return np.where(counts, np.clip(value, -128, 127), -128).astype(np.int8)


@evaluate.register
def table_softmax(operator: TableSoftmax, x: np.ndarray) -> np.ndarray:
    exponentials = operator.exponentials.astype(np.int64)[x.max(axis=-1, keepdims=True).astype(np.int64) - x]
    total = require_int32(exponentials.sum(axis=-1, keepdims=True))
    ratio = exponentials.astype(np.float32) / total.astype(np.float32)
    return np.clip(np.rint(ratio * np.float32(operator.scale)) + operator.zero_point, -128, 127).astype(np.int8)
