"""Dense layers."""

from __future__ import annotations

import numpy as np

from nnc_tvm.reference.dispatch import evaluate
from nnc_tvm.reference.rounding import apply
from nnc_tvm.schedules.operators import Dense


@evaluate.register
def dense(operator: Dense, x: np.ndarray, *parameters: np.ndarray) -> np.ndarray:
    """Integer products and sums stay below 2^53, so the float64 matrix product is exact."""
    acc = (x.astype(np.float64) - operator.input_zero_point) @ operator.weight.astype(np.float64).T
    return apply(operator.epilogue, acc + operator.bias, *parameters)
