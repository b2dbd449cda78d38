"""Quantization by a run-time scale, and accumulators that stay int32, on every CPU against the oracle."""

from __future__ import annotations

import numpy as np
import pytest

from nnc_tvm.schedules.operators import Conv2d, Dense, DynamicParameters, DynamicQuantize, MatMul, Operator, TensorType
from nnc_tvm.schedules.quantization import KeepInt32
from nnc_tvm.schedules.rules import contraction, dynamic, elementwise, matmul
from tests.kernels.cases import CPU_NAMES, CPUS, check, random_generator, target_of


@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_parameters(cpu: tuple[str, str | None]) -> None:
    """Ranges on both sides of 0, on one, of zeros; fewer elements than lanes."""
    rng = random_generator()
    values = [rng.standard_normal(shape).astype(np.float32) * 3 for shape in ((1,), (3,), (7, 31), (4, 64), (2, 3, 101))]
    values += [np.zeros((5, 5), np.float32), np.full(40, 2.5, np.float32), -np.abs(values[2]) - 1, np.full(9, 1e-44, np.float32)]
    cases: list[tuple[Operator, list[np.ndarray]]] = []
    for x in values:
        cases.append((DynamicParameters((TensorType(x.shape, "float32"),), TensorType((2,), "float32")), [x]))
    check(cases, dynamic.stages, target_of(cpu))


@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_quantize(cpu: tuple[str, str | None]) -> None:
    rng = random_generator()
    cases: list[tuple[Operator, list[np.ndarray]]] = []
    for shape, zero in (((5, 33), 7), ((64,), -128), ((1, 3, 2), 127)):
        x = np.asarray(rng.standard_normal(shape) * 4, np.float32)
        x.reshape(-1)[:3] = [np.nan, np.inf, -np.inf]
        types = TensorType(shape, "float32"), TensorType((), "float32"), TensorType((), "int8")
        cases.append((DynamicQuantize(types, TensorType(shape, "int8")), [x, np.array(0.031, np.float32), np.array(zero, np.int8)]))
    check(cases, elementwise.stages, target_of(cpu))


@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_accumulators(cpu: tuple[str, str | None]) -> None:
    """Dense layers and convolutions whose result is the int32 sum, above 2^24 too, where float32 is not exact."""
    rng = random_generator()

    def int8(*shape: int) -> np.ndarray:
        return rng.integers(-128, 128, shape).astype(np.int8)

    full = Dense((TensorType((1, 2048), "int8"),), TensorType((1, 3), "int32"), np.full((3, 2048), 127, np.int16), np.array([0, 1, -7], np.int32), KeepInt32())
    cases: list[tuple[Operator, list[np.ndarray]]] = [(full, [np.full((1, 2048), 127, np.int8)])]
    for m, k, o in ((1, 33, 17), (7, 64, 24)):
        weight, bias = rng.integers(-128, 128, (o, k)).astype(np.int16), rng.integers(-999, 999, o).astype(np.int32)
        cases.append((Dense((TensorType((m, k), "int8"),), TensorType((m, o), "int32"), weight, bias, KeepInt32(), 5), [int8(m, k)]))
    weight = rng.integers(-127, 128, (10, 3, 3, 5)).astype(np.int16)
    cases.append((Conv2d((TensorType((1, 9, 7, 5), "int8"),), TensorType((1, 9, 7, 10), "int32"), weight, np.zeros(10, np.int32), KeepInt32(), -9,
                         padding=(1, 1, 1, 1)), [int8(1, 9, 7, 5)]))
    check(cases, contraction.stages, target_of(cpu))
    types = TensorType((2, 5, 33), "int8"), TensorType((2, 33, 9), "int8")
    check([(MatMul(types, TensorType((2, 5, 9), "int32"), KeepInt32(), (3, -4)), [int8(2, 5, 33), int8(2, 33, 9)])], matmul.stages, target_of(cpu))
