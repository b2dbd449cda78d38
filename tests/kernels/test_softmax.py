"""Softmax on every CPU against the oracle."""

from __future__ import annotations

import numpy as np
import pytest

from nnc_tvm.schedules.operators import FixedSoftmax, Operator, TableSoftmax, TensorType
from nnc_tvm.schedules.rules import softmax
from tests.kernels.cases import CPU_NAMES, CPUS, check, random_generator, target_of


@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_softmax(cpu: tuple[str, str | None]) -> None:
    rng = random_generator()
    cases: list[tuple[Operator, list[np.ndarray]]] = []
    for shape, scale in (((1, 12), 0.1), ((3, 1001), 0.05), ((2, 3, 7), 0.5), ((1, 10), 0.0117), ((1, 1), 0.1)):
        kind = TensorType(shape, "int8")
        rows = [rng.integers(-128, 128, shape).astype(np.int8), np.full(shape, -128, np.int8)]
        for values in rows:
            cases.append((FixedSoftmax.build(kind, kind, scale), [values]))
            cases.append((TableSoftmax.build(kind, kind, scale, (1 / 256, -128)), [values]))
    check(cases, softmax.stages, target_of(cpu))
