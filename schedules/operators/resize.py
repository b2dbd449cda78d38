"""Resizing of images: nearest neighbour and bilinear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from nnc_tvm.schedules.operators.operator import Operator, TensorType
from nnc_tvm.schedules.quantization import Epilogue, FixedRequantize, Mode, convolution_scale, make_requantize

Coordinates = Literal["asymmetric", "half_pixel", "align_corners"]
WEIGHT_BITS = 10
ONE = 1 << WEIGHT_BITS


@dataclass(frozen=True, eq=False)
class ResizeNearest(Operator):
    """y[n,h,w,c] = x[n, rows[h], columns[w], c]. inputs: (x (N, H, W, C),); rows (OH,), columns (OW,) int32."""

    rows: np.ndarray
    columns: np.ndarray

    @staticmethod
    def build(source: TensorType, output: TensorType, coordinates: Coordinates) -> ResizeNearest:
        """The neighbours that LiteRT's RESIZE_NEAREST_NEIGHBOR takes."""
        rows, columns = (_nearest(source.shape[axis], output.shape[axis], coordinates) for axis in (1, 2))
        return ResizeNearest((source,), output, rows, columns)


def _nearest(extent: int, count: int, coordinates: Coordinates) -> np.ndarray:
    """int32 (count,): in float32, rounded half away from zero with aligned corners, else down."""
    aligned = coordinates == "align_corners" and count > 1
    scale = np.float32(extent - 1) / np.float32(count - 1) if aligned else np.float32(extent) / np.float32(count)
    offset = np.float32(0.5 if coordinates == "half_pixel" else 0)
    position = (np.arange(count, dtype=np.float32) + offset) * scale
    rounded = np.floor(position.astype(np.float64) + 0.5) if coordinates == "align_corners" else np.floor(position)
    return np.clip(rounded, 0, extent - 1).astype(np.int32)


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

    @staticmethod
    def build(mode: Mode, source: TensorType, output: TensorType, coordinates: Coordinates, quantization: tuple[tuple[float, int], ...], low: int = -128,
              high: int = 127) -> ResizeBilinear:
        """The int8 form; `quantization` is ((scale, zero_point) of the input and the output).

        `fixed` on one scale is LiteRT's: positions in units of 2^-10, and one division by 2^20 of the int8 values themselves, half away
        from zero.
        """
        (si, zi), (so, zo) = quantization
        (rows, row_weights), (columns, column_weights) = (_bilinear(source.shape[axis], output.shape[axis], coordinates) for axis in (1, 2))
        requantize = make_requantize(mode, convolution_scale(si, 1, so) / ONE**2, zo, low, high)
        if mode == "fixed" and (np.float32(si), zi) == (np.float32(so), zo):
            zi, requantize = 0, division_by_weights(0, low, high)
        return ResizeBilinear((source,), output, rows, columns, row_weights, column_weights, zi, requantize)


def division_by_weights(zero_point: int, low: int, high: int) -> FixedRequantize:
    """y = clamp(zero_point + round(acc / 2^20), low, high): a high multiply by 2^31 - 1 leaves |acc| < 2^30 as it is, the shift alone rounds."""
    return FixedRequantize(np.array([(1 << 31) - 1], np.int32), np.array([-2 * WEIGHT_BITS], np.int32), zero_point, low, high)


def _bilinear(extent: int, count: int, coordinates: Coordinates) -> tuple[np.ndarray, np.ndarray]:
    """(neighbours, weights), int32 (count, 2) each, by LiteRT's integer arithmetic."""
    scale = (ONE * extent + count // 2) // count
    if coordinates == "align_corners" and count > 1:
        scale = (ONE * (extent - 1) + (count - 1) // 2) // (count - 1)
    position = np.arange(count) * scale + (scale // 2 - ONE // 2 if coordinates == "half_pixel" else 0)
    position = np.clip(position, 0, (extent - 1) * ONE)  # beyond the border both neighbours are the border
    lower = position >> WEIGHT_BITS
    upper_weight = position - lower * ONE
    neighbours = np.stack([lower, np.minimum(lower + 1, extent - 1)], axis=1)
    return neighbours.astype(np.int32), np.stack([ONE - upper_weight, upper_weight], axis=1).astype(np.int32)
