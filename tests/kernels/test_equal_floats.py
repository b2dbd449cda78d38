"""Fixed point as products of floats: equal to the oracle for every pair of bytes, or not found."""

from __future__ import annotations

import numpy as np

from nnc_tvm.reference import evaluate
from nnc_tvm.reference.rounding import apply_epilogue
from nnc_tvm.schedules.operators import Divide, SquaredDifference, TensorType
from nnc_tvm.schedules.rules.equal_floats import float_quotient, float_requantize, squares
from tests.kernels.cases import random_generator

PAIRS = TensorType((256, 256), "int8")
EVERY = np.broadcast_arrays(*np.ix_(*[np.arange(-128, 128).astype(np.int8)] * 2))


def test_squares() -> None:
    rng = random_generator()
    for _ in range(5):
        (sa, za), (sb, zb) = ((float(rng.uniform(0.01, 0.1)), int(rng.integers(-128, 128))) for _ in range(2))
        made = SquaredDifference.build((PAIRS, PAIRS), PAIRS, ((sa, za), (sb, zb), (max(sa, sb) ** 2 * 60, int(rng.integers(-128, 128)))))
        assert made is not None
        requantize = float_requantize(made)
        assert requantize is not None
        acc = squares(made, *(x.astype(np.int64) - z for x, z in zip(EVERY, (za, zb), strict=True)))
        np.testing.assert_array_equal(apply_epilogue(requantize, acc), evaluate(made, *EVERY))


def test_quotients() -> None:
    """Of a quarter by an eighth ties fall to both sides."""
    for scales, possible in (((0.0673, 0.00887, 0.0025), True), ((0.05, 0.03, 0.06), True), ((0.25, 0.125, 1 / 255), True), ((0.5, 0.25, 0.125), False)):
        made = Divide.build((PAIRS, PAIRS), PAIRS, tuple(zip(scales, (3, -20, 5), strict=True)))
        assert made is not None
        factor = float_quotient(made)
        assert (factor is not None) == possible, scales
        if factor is not None:
            a, b = (x.astype(np.float32) - z for x, z in zip(EVERY, (3, -20), strict=True))
            with np.errstate(all="ignore"):
                y = np.rint(np.clip(np.nan_to_num(a * factor / b, nan=0.0), -133, 122)) + 5
            np.testing.assert_array_equal(y, evaluate(made, *EVERY))
