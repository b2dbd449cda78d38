"""Depthwise convolutions of every CPU's kernels against the oracle."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from nnc_tvm.schedules.operators import DepthwiseConv2d, Operator, TensorType
from nnc_tvm.schedules.quantization import Epilogue, FloatClamp, Mode
from nnc_tvm.schedules.rule import choose_default
from nnc_tvm.schedules.rules import depthwise
from tests.kernels.cases import CPU_NAMES, CPUS, check, random_generator, random_requantize, target_of

# image (N, H, W, C), channel multiplier, kernel, strides, padding, dilation
SHAPES = [
    ((1, 8, 9, 64), 1, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),
    ((3, 9, 7, 17), 1, (3, 3), (2, 2), (0, 1, 1, 0), (1, 1)),
    ((1, 9, 9, 5), 1, (5, 5), (3, 3), (2, 2, 2, 2), (1, 1)),
    ((1, 5, 12, 3), 8, (1, 7), (1, 1), (0, 3, 0, 3), (1, 1)),
    ((1, 25, 5, 1), 8, (10, 4), (2, 2), (4, 1, 5, 1), (1, 1)),
    ((1, 11, 11, 24), 1, (3, 3), (1, 1), (2, 2, 2, 2), (2, 2)),
    ((1, 4, 4, 1001), 1, (3, 3), (1, 1), (0, 0, 0, 0), (1, 1)),
    ((1, 3, 3, 1), 1, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),
    ((1, 12, 12, 32), 1, (7, 7), (1, 1), (3, 3, 3, 3), (1, 1)),
    ((2, 6, 6, 32), 1, (2, 2), (2, 2), (0, 0, 0, 0), (1, 1)),
    ((1, 9, 14, 24), 1, (1, 5), (1, 1), (0, 2, 0, 2), (1, 1)),
    ((1, 14, 9, 40), 1, (5, 1), (1, 1), (2, 0, 2, 0), (1, 1)),
]


def operator_of(shape: tuple[Any, ...], weight: np.ndarray, bias: np.ndarray, epilogue: Epilogue, zero_point: int) -> DepthwiseConv2d:
    image, multiplier, kernel, strides, padding, dilation = shape
    out = [(image[1 + a] + padding[a] + padding[2 + a] - (kernel[a] - 1) * dilation[a] - 1) // strides[a] + 1 for a in range(2)]
    dtype = "float32" if weight.dtype == np.float32 else "int8"
    return DepthwiseConv2d((TensorType(image, dtype),), TensorType((image[0], *out, image[3] * multiplier), dtype), weight, bias, epilogue, zero_point,
                           strides, padding, dilation)


def random_cases(rng: np.random.Generator, mode: Mode) -> list[tuple[Operator, list[np.ndarray]]]:
    """Random weights and images of all SHAPES."""
    cases: list[tuple[Operator, list[np.ndarray]]] = []
    for k, shape in enumerate(SHAPES):
        (_, _, _, c), multiplier, kernel = shape[:3]
        largest = 255 if k % 4 == 3 else 127  # weights with a zero point reach 255
        weight = rng.integers(-largest, largest + 1, (*kernel, c * multiplier)).astype(np.int16)
        bias = rng.integers(-5000, 5000, c * multiplier).astype(np.int32)
        epilogue = random_requantize(rng, mode, c * multiplier, kernel[0] * kernel[1])
        cases.append((operator_of(shape, weight, bias, epilogue, int(rng.integers(-128, 128))), [rng.integers(-128, 128, shape[0]).astype(np.int8)]))
    return cases


@pytest.mark.parametrize("mode", ["fixed", "float"])
@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_integer(cpu: tuple[str, str | None], mode: Mode) -> None:
    check(random_cases(random_generator(), mode), depthwise.stages, target_of(cpu))


@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
@pytest.mark.parametrize("weight,value", [(-128, -128), (127, 127), (-128, 127), (255, -128)])
def test_extremes_do_not_overflow(cpu: tuple[str, str | None], weight: int, value: int) -> None:
    rng = random_generator()
    shape = SHAPES[0]
    operator = operator_of(shape, np.full((3, 3, 64), weight, np.int16), np.zeros(64, np.int32), random_requantize(rng, "float", 64, 9 * 500), 3)
    check([(operator, [np.full(shape[0], value, np.int8)])], depthwise.stages, target_of(cpu))


@pytest.mark.parametrize("cpu", CPUS[:2], ids=CPU_NAMES[:2])
def test_float(cpu: tuple[str, str | None]) -> None:
    rng = random_generator()
    cases = []
    for shape in SHAPES:
        (_, _, _, c), multiplier, kernel = shape[:3]
        weight, bias = rng.standard_normal((*kernel, c * multiplier)).astype(np.float32), rng.standard_normal(c * multiplier).astype(np.float32)
        cases.append((operator_of(shape, weight, bias, FloatClamp(0.0, 6.0), 0), [rng.standard_normal(shape[0]).astype(np.float32)]))
    check(cases, depthwise.stages, target_of(cpu), tolerance=1e-5)


def test_one_row_of_taps_needs_no_columns_of_several() -> None:
    """A column of one tap is multiplied by itself, where instructions on several rows would multiply by zeros."""
    rng, target = random_generator(), target_of(("arm_cpu", "cortex-a76"))
    for k, name in ((SHAPES[-2], "smlal"), (SHAPES[-1], "sdot"), (SHAPES[0], "sdot")):
        channels = k[0][3]
        operator = operator_of(k, rng.integers(-127, 128, (*k[2], channels)).astype(np.int16), np.zeros(channels, np.int32),
                               random_requantize(rng, "fixed", channels, 9), 0)
        made = depthwise.stages(operator, target, choose_default)
        assert made is not None and name in made.stages[-1].kernel and made.taken.weight_bytes == made.stages[-1].constants[0].nbytes


@pytest.mark.parametrize("choices", [{"rows": 1, "pixels": 1}, {"rows": 2, "vectors": 1}, {"pixels": 3, "channels_outer": False}])
def test_every_choice_computes_the_same(choices: dict[str, object]) -> None:
    rng = random_generator()

    def choose(name: str, candidates: object, default: object) -> object:
        return choices.get(name, default)

    shape = SHAPES[0]
    weight = rng.integers(-127, 128, (3, 3, 64)).astype(np.int16)
    operator = operator_of(shape, weight, np.zeros(64, np.int32), random_requantize(rng, "fixed", 64, 9), -7)
    check([(operator, [rng.integers(-128, 128, shape[0]).astype(np.int8)])], depthwise.stages, target_of(CPUS[0]), choose=choose)


@pytest.mark.parametrize("cpu", CPUS[:5], ids=CPU_NAMES[:5])
def test_two_weights_in_a_byte(cpu: tuple[str, str | None]) -> None:
    """Weights of 4 bits take half a byte each where the package is to be small, and a stage that unpacks them."""
    rng = random_generator()
    cases = []
    for shape in SHAPES:
        channels, kernel = shape[0][3] * shape[1], shape[2]
        weight = rng.integers(-8, 8, (*kernel, channels)).astype(np.int16)
        bias, epilogue = rng.integers(-5000, 5000, channels).astype(np.int32), random_requantize(rng, "float", channels, weight[..., 0].size)
        operator = operator_of(shape, weight, bias, epilogue, 3)
        cases.append((operator, [rng.integers(-128, 128, shape[0]).astype(np.int8)]))
    target = dataclasses.replace(target_of(cpu), optimize="size")
    made = depthwise.stages(cases[0][0], target, choose_default)
    assert made is not None and made.taken.form == "int4" and made.taken.weight_bytes <= made.others[0].weight_bytes / 2
    check(cases, depthwise.stages, target)
