"""Tensors of two programs that mean the same, on one footing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

EIGHT_BITS = ("int8", "uint8")


@dataclass(frozen=True, eq=False)
class Tensor:
    """An array and what its integers mean; scale and zero_point are None where they mean themselves, or nobody knows."""

    array: np.ndarray
    scale: float | None = None
    zero_point: int | None = None

    @property
    def quantized(self) -> bool:
        return str(self.array.dtype) in EIGHT_BITS

    def reals(self) -> np.ndarray:
        """float64: scale * (q - zero_point) where they are known."""
        wide = self.array.astype(np.float64)
        return wide if self.scale is None else (wide - (self.zero_point or 0)) * self.scale

    def steps(self, zero_point: int) -> np.ndarray:
        """float64 integers from `zero_point`, which is that of int8: uint8 is the same grid moved by 128."""
        return self.array.astype(np.float64) - (zero_point + (128 if self.array.dtype == np.uint8 else 0))


def same_footing(ours: Tensor, theirs: Tensor) -> tuple[np.ndarray, np.ndarray, str]:
    """(ours, theirs, unit) as float64: steps of one quantization if both are 8-bit integers on the same scale or one's is unknown, else reals."""
    one_grid = ours.scale is None or theirs.scale is None or math.isclose(ours.scale, theirs.scale, rel_tol=1e-6)
    if ours.quantized and theirs.quantized and one_grid:
        zero = zero_of(ours) if ours.zero_point is not None else zero_of(theirs)
        return ours.steps(zero), theirs.steps(zero), "steps"
    return ours.reals(), theirs.reals(), "reals"


def zero_of(tensor: Tensor) -> int:
    """The zero point moved to int8's range."""
    return (tensor.zero_point or 0) - (128 if tensor.array.dtype == np.uint8 and tensor.zero_point is not None else 0)


# what a source may call a package's order of axes, the likeliest first
LAYOUTS: tuple[tuple[int, ...] | None, ...] = (None, (0, 2, 3, 1), (0, 2, 1), (0, 3, 1, 2))


def fitting_layouts(array: np.ndarray, shape: tuple[int, ...]) -> list[tuple[int, ...] | None]:
    """The transposes that may bring a source's tensor into the order of a layer's output; None stands for none. Images are channels-last in packages.

    Those that give the shape itself if there are any, else those that give as many elements: extents of 1 come and go.
    """
    possible = [axes for axes in LAYOUTS if axes is None or len(axes) == array.ndim]
    exact = [axes for axes in possible if (array if axes is None else array.transpose(axes)).shape == shape]
    return exact or (possible if array.size == int(np.prod(shape)) else [])


def in_layout(array: np.ndarray, axes: tuple[int, ...] | None, shape: tuple[int, ...]) -> np.ndarray:
    """`array` transposed and shaped."""
    return (array if axes is None else array.transpose(axes)).reshape(shape)
