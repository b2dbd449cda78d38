"""Look-up tables on every CPU against the oracle."""

from __future__ import annotations

import numpy as np
import pytest

from nnc_tvm.schedules.operators import Operator, Table, TensorType
from nnc_tvm.schedules.rules import table
from tests.kernels.cases import CPU_NAMES, CPUS, check, random_generator, target_of


@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_every_index(cpu: tuple[str, str | None]) -> None:
    rng = random_generator()
    cases: list[tuple[Operator, list[np.ndarray]]] = []
    for shape in ((5,), (16,), (33,), (3, 7, 49), (1, 8, 8, 40)):
        values = np.resize(rng.permutation(np.arange(-128, 128)), shape).astype(np.int8)
        cases.append((Table((TensorType(shape, "int8"),), TensorType(shape, "int8"), rng.integers(-128, 128, 256).astype(np.int8)), [values]))
        cases.append((Table((TensorType(shape, "int8"),), TensorType(shape, "float32"), rng.standard_normal(256).astype(np.float32)), [values]))
    check(cases, table.stages, target_of(cpu))
