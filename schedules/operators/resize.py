"""Resizing of images: nearest neighbour and bilinear."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nnc_tvm.schedules.operators.operator import Operator
from nnc_tvm.schedules.quantization import Epilogue


@dataclass(frozen=True, eq=False)
class ResizeNearest(Operator):
    """y[n,h,w,c] = x[n, rows[h], columns[w], c]. inputs: (x (N, H, W, C),); rows (OH,), columns (OW,) int32."""

    rows: np.ndarray
    columns: np.ndarray


@dataclass(frozen=True, eq=False)
class ResizeBilinear(Operator):
    """y = epilogue(sum over the four neighbours of (x - z) * row weight * column weight)

    rows, columns: int32 (OH, 2), (OW, 2) neighbours; row_weights, column_weights: int32 of the same shape in units of 2^-10 (each
    pair sums to 1024), or float32 for the float form. The epilogue's scale takes the 2^20 away again.
    inputs: (x (N, H, W, C) int8 or float32,); output (N, OH, OW, C).
    """

    rows: np.ndarray
    columns: np.ndarray
    row_weights: np.ndarray
    column_weights: np.ndarray
    input_zero_point: int
    epilogue: Epilogue
