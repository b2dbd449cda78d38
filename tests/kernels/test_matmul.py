"""Products of two activations on every CPU's kernels against the oracle."""

from __future__ import annotations

import numpy as np
import pytest

from nnc_tvm.schedules.operators import MatMul, TensorType
from nnc_tvm.schedules.quantization import FloatClamp
from nnc_tvm.schedules.rules import matmul
from tests.kernels.cases import CPU_NAMES, CPUS, MODES, check, random_generator, random_requantize, target_of

SHAPES = [(1, 5, 16, 8), (3, 7, 33, 17), (2, 20, 64, 40), (1, 1, 7, 1001), (4, 13, 5, 1)]


@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_integer(cpu: tuple[str, str | None]) -> None:
    """Both modes, zero points of either sign and 0, saturated operands."""
    rng = random_generator()
    cases = []
    for i, (b, m, k, o) in enumerate(SHAPES):
        zero_points = [(0, 0), (3, 0), (0, -7), (127, -128), (-128, 5)][i]
        inputs = (TensorType((b, m, k), "int8"), TensorType((b, k, o), "int8"))
        epilogue = random_requantize(rng, MODES[i % 2], 1, k)
        operator = MatMul(inputs, TensorType((b, m, o), "int8"), epilogue, zero_points)
        extremes = [(-128, 127), (-128, -128)][rng.integers(2)]
        cases.append((operator, [rng.integers(extremes[0], extremes[1] + 1, t.shape).astype(np.int8) for t in inputs]))
    check(list(cases), matmul.stages, target_of(cpu))


@pytest.mark.parametrize("cpu", CPUS[:2], ids=CPU_NAMES[:2])
def test_float(cpu: tuple[str, str | None]) -> None:
    rng = random_generator()
    cases = []
    for b, m, k, o in SHAPES:
        inputs = (TensorType((b, m, k), "float32"), TensorType((b, k, o), "float32"))
        operator = MatMul(inputs, TensorType((b, m, o), "float32"), FloatClamp())
        cases.append((operator, [rng.standard_normal(t.shape).astype(np.float32) for t in inputs]))
    check(list(cases), matmul.stages, target_of(cpu), tolerance=1e-5)
