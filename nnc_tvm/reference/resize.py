"""Resizing of images."""

from __future__ import annotations

import numpy as np

from nnc_tvm.reference.dispatch import evaluate
from nnc_tvm.reference.rounding import apply_epilogue
from nnc_tvm.schedules.operators import ResizeBilinear, ResizeNearest


@evaluate.register
def resize_nearest(operator: ResizeNearest, x: np.ndarray) -> np.ndarray:
    return x[:, operator.rows][:, :, operator.columns]


@evaluate.register
def resize_bilinear(operator: ResizeBilinear, x: np.ndarray) -> np.ndarray:
    """Rows first, then columns; float64 holds the integer products exactly."""
    values = x.astype(np.float64) - operator.input_zero_point
    rows = np.einsum("nhiwc,hi->nhwc", values[:, operator.rows], operator.row_weights.astype(np.float64))
    acc = np.einsum("nhwjc,wj->nhwc", rows[:, :, operator.columns], operator.column_weights.astype(np.float64))
    return apply_epilogue(operator.epilogue, acc)
