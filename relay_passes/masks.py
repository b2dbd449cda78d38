"""Pruning masks: which of two factors is one, and whether it is what a mask must be."""

from __future__ import annotations

import numpy as np

from nnc_tvm.errors import Unsupported


def is_binary(values: np.ndarray) -> bool:
    """Whether all values are 0 or 1."""
    return bool(((values == 0) | (values == 1)).all())


def is_mask(name: str, values: np.ndarray) -> bool:
    """Whether a constant factor is meant as a mask: it is binary, its name says so, or it has zeros and ones and little else.

    A scale has no zeros, and weights that are exactly 1 are rare: what is left as a mask with other values in it is broken.
    """
    if is_binary(values) or "mask" in name.lower():
        return True
    zeros, ones = int((values == 0).sum()), int((values == 1).sum())
    return bool(zeros and ones and 2 * (zeros + ones) >= values.size)


def check_mask(name: str, mask: np.ndarray, weight: str, shape: tuple[int, ...]) -> None:
    """Raises Unsupported naming the first entry that is neither 0 nor 1, or shapes that do not fit. weight, shape: what is masked."""
    try:
        fits = np.broadcast_shapes(mask.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise Unsupported(f"'{name}': a mask of shape {list(mask.shape)} does not fit the weight '{weight}' of shape {list(shape)}; "
                          "export it with the weight's shape")
    bad = np.argwhere((mask != 0) & (mask != 1))
    if len(bad):
        place = tuple(int(i) for i in bad[0])
        raise Unsupported(f"'{name}': the mask of '{weight}' is {mask[place]:g} at {list(place)}; masks are 0 or 1: "
                          "make it binary, or multiply the weight by it before the model is exported")


def check_product(factors: tuple[tuple[str, np.ndarray], tuple[str, np.ndarray]]) -> None:
    """`check_mask` for the product of two constants (name, values), if either is a mask of the other. Weights have two axes or more."""
    for (name, values), (other, weight) in (factors, factors[::-1]):
        if values.ndim and weight.ndim > 1 and is_mask(name, values) and not is_binary(weight):
            check_mask(name, values, other, weight.shape)
            return
