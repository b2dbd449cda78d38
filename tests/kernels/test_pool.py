"""Pooling and means on every CPU against the oracle."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nnc_tvm.schedules.operators import AveragePool2d, MaxPool2d, Mean, Operator, Sum, TensorType
from nnc_tvm.schedules.quantization import FloatClamp, make_requantize
from nnc_tvm.schedules.rules import pool
from tests.kernels.cases import CPU_NAMES, CPUS, MODES, check, random_generator, target_of

# image (N, H, W, C), kernel, strides, padding
WINDOWS = [
    *(((1, 11, 12, channels), (3, 3), (2, 2), (1, 0, 1, 1)) for channels in (1, 3, 17, 64)),
    ((3, 9, 7, 40), (2, 2), (2, 2), (0, 0, 0, 0)), ((1, 12, 12, 5), (3, 2), (3, 1), (2, 0, 1, 1)), ((2, 7, 7, 1001), (7, 7), (1, 1), (0, 0, 0, 0)),
]
MEANS = [((2, 7, 7, 17), (1, 2)), ((1, 7, 7, 1280), (1, 2)), ((3, 5, 40), (2,)), ((4, 6, 8), (0, 2)), ((40,), (0,)), ((3, 5, 7), (1,))]


def types(image: tuple[int, ...], kernel: tuple[int, ...], strides: tuple[int, ...], padding: tuple[int, ...], dtype: str) -> tuple[TensorType, TensorType]:
    out = [(image[1 + a] + padding[a] + padding[2 + a] - kernel[a]) // strides[a] + 1 for a in range(2)]
    return TensorType(image, dtype), TensorType((image[0], *out, image[3]), dtype)


def values_of(rng: np.random.Generator, kind: TensorType) -> np.ndarray:
    if kind.dtype == "float32":
        return rng.standard_normal(kind.shape).astype(np.float32)
    return rng.integers(-128, 128, kind.shape).astype(np.int8)


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_max(cpu: tuple[str, str | None], dtype: str) -> None:
    rng = random_generator()
    bounds = (-100, 90) if dtype == "int8" else (-math.inf, 1.5)
    cases: list[tuple[Operator, list[np.ndarray]]] = []
    wider = ((1, 3, 4, 20), (5, 6), (1, 1), (4, 5, 4, 5))
    outside = ((2, 4, 5, 24), (2, 2), (2, 1), (3, 2, 2, 3))  # what floats have there, -inf, is compared with nothing
    for image, kernel, strides, padding in (*WINDOWS, wider, *([outside] if dtype == "int8" else [])):
        x, y = types(image, kernel, strides, padding, dtype)
        cases.append((MaxPool2d((x,), y, kernel, strides, padding, (1, 1), *bounds), [values_of(rng, x)]))
    x, y = types((1, 9, 9, 24), (5, 5), (1, 1), (2, 2, 2, 2), dtype)
    cases.append((MaxPool2d((x,), y, (3, 3), (1, 1), (2, 2, 2, 2), (2, 2), *bounds), [values_of(rng, x)]))
    check(cases, pool.max_pool, target_of(cpu))


@pytest.mark.parametrize("count_include_pad", [False, True])
@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_average(cpu: tuple[str, str | None], count_include_pad: bool) -> None:
    rng = random_generator()
    cases: list[tuple[Operator, list[np.ndarray]]] = []
    for image, kernel, strides, padding in WINDOWS:
        x, y = types(image, kernel, strides, padding, "int8")
        for zero_point in (0, -128):
            operator = AveragePool2d((x,), y, kernel, strides, padding, count_include_pad, zero_point, None, -120, 120)
            cases.append((operator, [values_of(rng, x)]))
        for mode in MODES:
            requantize = make_requantize(mode, 1.3 / operator.counts, 5)
            cases.append((AveragePool2d((x,), y, kernel, strides, padding, count_include_pad, int(rng.integers(-128, 128)), requantize), [values_of(rng, x)]))
    check(cases, pool.average_pool, target_of(cpu))


@pytest.mark.parametrize("cpu", CPUS[:2], ids=CPU_NAMES[:2])
def test_average_of_floats(cpu: tuple[str, str | None]) -> None:
    rng = random_generator()
    cases: list[tuple[Operator, list[np.ndarray]]] = []
    for image, kernel, strides, padding in WINDOWS:
        x, y = types(image, kernel, strides, padding, "float32")
        cases.append((AveragePool2d((x,), y, kernel, strides, padding, False, 0, FloatClamp(-0.5, 0.5)), [values_of(rng, x)]))
    check(cases, pool.average_pool, target_of(cpu), tolerance=1e-6)


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_mean_and_sum(cpu: tuple[str, str | None], dtype: str) -> None:
    rng = random_generator()
    cases: list[tuple[Operator, list[np.ndarray]]] = []
    for k, (shape, axes) in enumerate(MEANS):
        count = math.prod(shape[a] for a in axes)
        kept = tuple(1 if a in axes else extent for a, extent in enumerate(shape)) if k % 2 else tuple(e for a, e in enumerate(shape) if a not in axes)
        x, y = TensorType(shape, dtype), TensorType(kept, dtype)
        for mode in MODES:
            epilogue = FloatClamp() if dtype == "float32" else make_requantize(mode, 1.2 / count, 4)
            cases.append((Mean((x,), y, axes, 3 if dtype == "int8" else 0, epilogue), [values_of(rng, x)]))
            if dtype == "int8":
                cases.append((Sum.build(mode, x, y, axes, ((0.05, 3), (0.04 * math.sqrt(count), 4))), [values_of(rng, x)]))
    check(cases, pool.mean, target_of(cpu), tolerance=1e-6)


@pytest.mark.parametrize("cpu", CPUS[:2], ids=CPU_NAMES[:2])
def test_division_is_exact_at_the_ends(cpu: tuple[str, str | None]) -> None:
    """All elements -128 or 127, and windows whose mean is half way between two integers."""
    cases: list[tuple[Operator, list[np.ndarray]]] = []
    x, y = types((1, 64, 64, 8), (64, 64), (1, 1), (0, 0, 0, 0), "int8")
    halves = np.where(np.arange(64 * 64 * 8).reshape(x.shape) // 8 % 2 == 0, 5, 6).astype(np.int8)
    for values in (np.full(x.shape, -128, np.int8), np.full(x.shape, 127, np.int8), halves, -halves):
        cases.append((AveragePool2d((x,), y, (64, 64), (1, 1), (0, 0, 0, 0), False, 0, None), [values]))
    check(cases, pool.average_pool, target_of(cpu))
