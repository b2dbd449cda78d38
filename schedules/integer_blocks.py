"""Float weights that are integers of 4 bits times a scale per block: what dequantizing left of them, found in the values themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIZES = (256, 128, 64, 32, 16)  # of blocks, beside a whole row
LEVELS = 15  # steps from the least to the largest integer of 4 bits
EXACT = 4e-6  # of a step: what float32 rounds scales and products by


@dataclass(frozen=True, eq=False)
class IntegerBlocks:
    """weight[r, b * size + k] = scale[r, b] * (nibble[r, b * size + k] - zero[r, b]), to the rounding of float32.

    nibble: uint8 (rows, columns) in [0, 15]. scale: float32, zero: int8, both (rows, blocks).
    """

    size: int
    nibble: np.ndarray
    scale: np.ndarray
    zero: np.ndarray


def integer_blocks(weight: np.ndarray) -> IntegerBlocks | None:
    """float32 (rows, columns) as integers in the largest blocks there are; None where a block has none."""
    rows, columns = weight.shape
    if not weight.size or not np.isfinite(weight).all():
        return None
    for size in dict.fromkeys([columns, *SIZES]):
        if SIZES[-1] <= size <= columns and columns % size == 0:
            found = _blocks_of(weight.reshape(rows, -1, size).astype(np.float64))
            if found is not None:
                scale, steps = found
                low, high = steps.min(2), steps.max(2)
                zero = np.where((low >= -8) & (high <= 7), 8, -low)
                return IntegerBlocks(size, (steps + zero[..., None]).astype(np.uint8).reshape(rows, columns), scale.astype(np.float32), zero.astype(np.int8))
    return None


def _blocks_of(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """(scale (rows, blocks), integers (rows, blocks, size)) of float64 (rows, blocks, size), with the largest scale; None where a block has none."""
    largest = np.abs(blocks).max(2)
    scale = np.where(largest > 0, largest, 1.0)
    rest = np.nonzero(largest > 0)
    for count in range(1, LEVELS + 1):  # the largest weight is so many steps
        steps = blocks[rest] / (largest[rest] / count)[:, None]
        whole = np.rint(steps)
        fits = (np.abs(steps - whole).max(1) <= EXACT * LEVELS) & (whole.max(1) - whole.min(1) <= LEVELS)
        scale[rest[0][fits], rest[1][fits]] = largest[rest][fits] / count
        rest = tuple(axis[~fits] for axis in rest)
        if not rest[0].size:
            return scale, np.rint(blocks / scale[..., None]).astype(np.int64)
    return None
