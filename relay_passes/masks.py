"""Pruning masks: which of two factors is one, and whether it is what a mask must be."""

from __future__ import annotations

import re

import numpy as np

from nnc_tvm.errors import Unsupported

MOST = 0.75  # of a mask are 0 or 1, even of a broken one; powers and windows that fade seldom are


def is_binary(values: np.ndarray) -> bool:
    """Whether all values are 0 or 1."""
    return bool(((values == 0) | (values == 1)).all())


def is_named_mask(name: str) -> bool:
    """Whether a constant is called a mask."""
    return "mask" in re.split(r"[./]", name.lower())[-1]


def is_mask(name: str, values: np.ndarray) -> bool:
    """Whether a constant factor of a weight is meant as a mask: its name says so, or nearly all of it are zeros and ones.

    A scale has no zeros, and weights that are exactly 1 are rare: what is left as a mask with other values in it is broken.
    """
    zeros, ones = int((values == 0).sum()), int((values == 1).sum())
    return is_named_mask(name) or (zeros + ones > MOST * values.size and bool(zeros and ones))


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


def check_product(factors: tuple[tuple[str, np.ndarray], tuple[str, np.ndarray]], product: str = "") -> None:
    """`check_mask` for a weight that is the product of two constants (name, values), if either is plainly a mask of the other.

    product: its name, for constants that have none. Weights have two axes or more; what widens them is a mask by its name alone.
    """
    for (name, values), (other, weight) in (factors, factors[::-1]):
        fits = values.ndim <= weight.ndim and all(v in (1, w) for v, w in zip(values.shape[::-1], weight.shape[::-1], strict=False))
        if values.ndim and weight.ndim > 1 and is_mask(name, values) and not is_binary(weight) and (fits or is_named_mask(name)):
            check_mask(name or product, values, other or product, weight.shape)
            return
