"""Matrix products of two activations."""

from __future__ import annotations

import numpy as np

from nnc_tvm.reference.dispatch import evaluate
from nnc_tvm.reference.rounding import apply_epilogue
from nnc_tvm.schedules.operators import MatMul


@evaluate.register
def matmul(operator: MatMul, a: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Integer products and sums stay below 2^53, so the float64 matrix product is exact."""
    za, zc = operator.zero_points
    return apply_epilogue(operator.epilogue, (a.astype(np.float64) - za) @ (c.astype(np.float64) - zc))
