"""Quantization by run-time scales, and accumulators that stay int32, on every CPU against the oracle."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from nnc_tvm.schedules.operators import Conv2d, Dense, DynamicPad, DynamicParameters, DynamicQuantize, DynamicRescale, MatMul, Operator, TensorType
from nnc_tvm.schedules.quantization import KeepInt32, RescaleAtRunTime
from nnc_tvm.schedules.rules import contraction, dynamic, elementwise, matmul
from tests.kernels.cases import CPU_NAMES, CPUS, check, random_generator, target_of


@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_parameters(cpu: tuple[str, str | None]) -> None:
    """Ranges on both sides of 0, on one, of zeros; fewer elements than lanes."""
    rng = random_generator()
    values = [rng.standard_normal(shape).astype(np.float32) * 3 for shape in ((1,), (3,), (7, 31), (4, 64), (2, 3, 101))]
    values.append(np.abs(values[-1]))
    values += [np.zeros((5, 5), np.float32), np.full(40, 2.5, np.float32), -np.abs(values[2]) - 1, np.full(9, 1e-44, np.float32)]
    values.append(np.array([[-1, 1], [0, 0], [0.25, 3]], np.float32))  # a zero point of -0.5, before it is rounded
    cases: list[tuple[Operator, list[np.ndarray]]] = []
    for x, symmetric, half_away in itertools.product(values, (False, True), (False, True)):
        for rows, nonnegative in itertools.product({1, len(x)}, {False, bool((x >= 0).all())}):
            types = (TensorType(x.shape, "float32"),), TensorType((2, rows), "float32")
            cases.append((DynamicParameters(*types, symmetric, half_away, nonnegative), [x]))
    check(cases, dynamic.stages, target_of(cpu))


def parameters(rng: np.random.Generator, rows: int) -> np.ndarray:
    return np.stack([rng.integers(-128, 128, rows), rng.uniform(0.01, 0.1, rows)]).astype(np.float32)


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
    cases = []
    for shape, rows, half_away in (((5, 33), 5, True), ((5, 33), 1, False), ((2, 4, 3, 6), 2, True), ((3, 1), 3, False)):
        x, p = np.asarray(rng.standard_normal(shape) * 4, np.float32), parameters(rng, rows)
        x[0] = (np.arange(x[0].size) - 2.5).reshape(x[0].shape) * p[1, 0]  # halves
        types = TensorType(shape, "float32"), TensorType((2, rows), "float32")
        cases.append((DynamicQuantize(types, TensorType(shape, "int8"), half_away), [x, p]))
    for (n, h, w, c), rows, padding in (((1, 5, 7, 3), 1, (1, 1, 1, 1)), ((3, 4, 4, 16), 3, (0, 1, 2, 0)), ((4, 1, 1, 5), 2, (1, 0, 0, 3)),
                                        ((1, 3, 5, 24), 1, (0, 2, 0, 0)), ((2, 1, 1, 1), 2, (1, 0, 1, 0))):
        top, left, bottom, right = padding
        types = TensorType((n, h, w, c), "float32"), TensorType((2, rows), "float32")
        result = TensorType((n, top + h + bottom, left + w + right, c), "int8")
        x = rng.standard_normal((n, h, w, c)).astype(np.float32) * 4
        cases += [(DynamicQuantize(types, result, half_away, padding), [x, parameters(rng, rows)]) for half_away in (True, False)]
    check(cases, dynamic.stages, target_of(cpu))


@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_pad(cpu: tuple[str, str | None]) -> None:
    rng = random_generator()
    cases: list[tuple[Operator, list[np.ndarray]]] = []
    for (n, h, w, c), rows, padding in (((1, 5, 7, 3), 1, (1, 1, 1, 1)), ((3, 4, 4, 16), 3, (0, 1, 2, 0)), ((4, 1, 1, 5), 2, (1, 0, 0, 3))):
        top, left, bottom, right = padding
        types = TensorType((n, h, w, c), "int8"), TensorType((2, rows), "float32")
        operator = DynamicPad(types, TensorType((n, h + top + bottom, w + left + right, c), "int8"), padding)
        cases.append((operator, [rng.integers(-128, 128, (n, h, w, c)).astype(np.int8), parameters(rng, rows)]))
    check(cases, dynamic.stages, target_of(cpu))


@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_rescale(cpu: tuple[str, str | None]) -> None:
    """With zero points and without, with a clamp and without; sums that leave int32 on the way."""
    rng = random_generator()
    cases: list[tuple[Operator, list[np.ndarray]]] = []
    for shape, rows, symmetric, low, high in (((3, 17), 3, True, -np.inf, np.inf), ((3, 17), 1, False, 0.0, 6.0), ((2, 5, 3, 24), 2, False, 0.0, np.inf),
                                              ((1, 1), 1, False, -1.0, 1.0)):
        sums = np.zeros(shape[-1], np.int32) if symmetric else rng.integers(-(1 << 25), 1 << 25, shape[-1]).astype(np.int32)
        scale, bias = rng.uniform(1e-7, 1e-6, shape[-1]).astype(np.float32), rng.standard_normal(shape[-1]).astype(np.float32)
        types = TensorType(shape, "int32"), TensorType((2, rows), "float32")
        acc = rng.integers(-(1 << 31), 1 << 31, shape).astype(np.int32)
        epilogue = RescaleAtRunTime(scale, bias, sums, low, high)
        cases.append((DynamicRescale(types, TensorType(shape, "float32"), epilogue), [acc, parameters(rng, rows)]))
    check(cases, dynamic.stages, target_of(cpu), 1e-6)


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
