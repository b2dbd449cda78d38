"""Dense layers of every CPU's kernels against the oracle."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nnc_tvm.schedules.operators import Dense, Operator, TensorType
from nnc_tvm.schedules.quantization import FixedRequantize, FloatClamp, Mode
from nnc_tvm.schedules.rule import choose_default
from nnc_tvm.schedules.rules import contraction
from tests.kernels.cases import CPU_NAMES, CPUS, MODES, check, random_generator, random_requantize, target_of


def dense(rng: np.random.Generator, m: int, k: int, out: int, mode: Mode, single_rounding: bool = False) -> tuple[Dense, list[np.ndarray]]:
    epilogue = random_requantize(rng, mode, out, k)
    if isinstance(epilogue, FixedRequantize):
        epilogue = dataclasses.replace(epilogue, single_rounding=single_rounding)
    operator = Dense((TensorType((m, k), "int8"),), TensorType((m, out), "int8"), rng.integers(-127, 128, (out, k)).astype(np.int16),
                     rng.integers(-5000, 5000, out).astype(np.int32), epilogue, int(rng.integers(-128, 128)))
    return operator, [rng.integers(-128, 128, (m, k)).astype(np.int8)]


@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_integer(cpu: tuple[str, str | None]) -> None:
    rng = random_generator()
    cases = [dense(rng, m, k, out, MODES[i % 2]) for i, (m, k, out) in enumerate(((1, 64, 12), (1, 130, 1001), (5, 7, 10), (16, 96, 24)))]
    check([*cases, dense(rng, 2, 33, 17, "fixed", single_rounding=True)], contraction.stages, target_of(cpu))


@pytest.mark.parametrize("cpu", CPUS[:2], ids=CPU_NAMES[:2])
def test_float(cpu: tuple[str, str | None]) -> None:
    rng = random_generator()
    cases = []
    for m, k, out in ((1, 64, 1000), (5, 7, 3), (9, 33, 40)):
        operator = Dense((TensorType((m, k), "float32"),), TensorType((m, out), "float32"), rng.standard_normal((out, k)).astype(np.float32),
                         rng.standard_normal(out).astype(np.float32), FloatClamp())
        cases.append((operator, [rng.standard_normal((m, k)).astype(np.float32)]))
    check(list(cases), contraction.stages, target_of(cpu), tolerance=1e-5)


@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_weights_beyond_int8(cpu: tuple[str, str | None]) -> None:
    """uint8 less any zero point: all of int8 is needed once an offset is taken; rows of the lowest x meet pairs of the lowest weights."""
    rng = random_generator()
    cases: list[tuple[Operator, list[np.ndarray]]] = []
    for m, k, o, low in ((1, 512, 64, -200), (33, 256, 96, -140), (100, 64, 64, -30), (7, 33, 19, -255), (1, 40, 17, 0)):
        for apart in (1, 2):
            weight = rng.integers(low + 1, low + 256, (o, k)).astype(np.int16)
            weight[1, 4:4 + 2 * apart:apart] = low
            weight[0, 0] = low + 255
            x = rng.integers(-128, 128, (m, k)).astype(np.int8)
            x[0] = -128
            requantize = random_requantize(rng, "fixed", o, k)
            bias, z = rng.integers(-999, 999, o).astype(np.int32), int(rng.integers(-128, 128))
            cases.append((Dense((TensorType((m, k), "int8"),), TensorType((m, o), "int8"), weight, bias, requantize, z), [x]))
    target = target_of(cpu)
    check(cases, contraction.stages, target)
    if {"dotprod", "avx512vnni"} & target.features:
        assert all("row sums" in [s.kernel for s in contraction.stages(operator, target, choose_default) or ()] for operator, _ in cases[:4])
