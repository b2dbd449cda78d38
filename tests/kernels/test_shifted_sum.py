"""Sums as one rounding shift: equal to the oracle for every pair of bytes, or not found."""

from __future__ import annotations

import numpy as np
import pytest

from nnc_tvm.reference import evaluate
from nnc_tvm.schedules.operators import LinearCombination, TensorType
from nnc_tvm.schedules.quantization import Mode
from nnc_tvm.schedules.rules.shifted_sum import shifted_sum
from tests.kernels.cases import MODES, random_generator

PAIRS = TensorType((256, 256), "int8")
EVERY = np.arange(-128, 128).astype(np.int8)


@pytest.mark.parametrize("mode", MODES)
def test_equals_the_oracle(mode: Mode) -> None:
    """With and without a ReLU; almost all sums have one."""
    rng = random_generator()
    found = 0
    for k in range(20):
        quantization = tuple((float(rng.uniform(0.01, 0.1)), int(rng.integers(-128, 128))) for _ in range(3))
        zero_point = quantization[2][1]
        operator = LinearCombination.build(mode, (PAIRS, PAIRS), PAIRS, quantization, 1 - 2 * (k % 2), -128 if k % 4 < 2 else zero_point)
        short = shifted_sum(operator)
        if short is None:
            continue
        found += 1
        a, b = (EVERY.astype(np.int64) - z for z in operator.zero_points)
        total = a[:, None] * short.factors[0] + b * short.factors[1] + short.offset + (1 << (short.exponent - 1))
        assert np.abs(total).max() < 2**31
        y = np.clip((total >> short.exponent) + zero_point, operator.requantize.low, operator.requantize.high)
        np.testing.assert_array_equal(y, evaluate(operator, *np.broadcast_arrays(EVERY[:, None], EVERY)))
    assert found >= 18


def test_means() -> None:
    """Half of a sum: factors a little too large round halves away from zero; to even, no factors do."""
    quantization = ((0.05, 0), (0.05, 0), (0.1, 0))
    assert shifted_sum(LinearCombination.build("fixed", (PAIRS, PAIRS), PAIRS, quantization)) is not None
    assert shifted_sum(LinearCombination.build("float", (PAIRS, PAIRS), PAIRS, quantization)) is None
