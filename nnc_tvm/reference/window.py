"""Sliding windows over NHWC images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def pad_image(x: np.ndarray, padding: tuple[int, int, int, int], value: float = 0) -> np.ndarray:
    """(N, H, W, C) surrounded by `value`; padding: (top, left, bottom, right)."""
    top, left, bottom, right = padding
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=value)


def taps(padded: np.ndarray, kernel: tuple[int, int], strides: tuple[int, int], dilation: tuple[int, int],
         extent: tuple[int, ...]) -> Iterator[tuple[int, int, np.ndarray]]:
    """(kh, kw, view): for each position in the window, the element it meets at each of the extent = (OH, OW) outputs, (N, OH, OW, C).

    Raises ValueError where the windows leave the padded image.
    """
    for axis in range(2):
        need = (extent[axis] - 1) * strides[axis] + (kernel[axis] - 1) * dilation[axis] + 1
        if need > padded.shape[1 + axis]:
            raise ValueError(f"windows cover {need} elements of axis {1 + axis}, which has {padded.shape[1 + axis]} with padding")
    for kh in range(kernel[0]):
        for kw in range(kernel[1]):
            y, x = kh * dilation[0], kw * dilation[1]
            yield kh, kw, padded[:, y:y + (extent[0] - 1) * strides[0] + 1:strides[0], x:x + (extent[1] - 1) * strides[1] + 1:strides[1], :]
