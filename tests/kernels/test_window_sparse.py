"""Layers of lists of windows against the oracle: every instruction, scattered weights and N of four, empty lists, layers of zeros, residuals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nnc_tvm.schedules.operators import Dense, TensorType
from nnc_tvm.schedules.rule import choose_default
from nnc_tvm.schedules.rules import weight_forms, window_sparse
from nnc_tvm.schedules.rules.window_lists import slots_of
from nnc_tvm.targets.registry import get_target
from tests.kernels.cases import CPU_NAMES, CPUS, MODES, any_choice, check, random_generator, random_requantize, rule_of, target_of
from tests.kernels.test_conv2d import Case, conv2d, with_residual
from tests.kernels.test_n_of_m import prune

stages = rule_of(window_sparse.candidate)
WITH_WINDOWS = [(CPUS[k], CPU_NAMES[k]) for k in (0, 1, 3)]
cpus = pytest.mark.parametrize("cpu", [cpu for cpu, _ in WITH_WINDOWS], ids=[name for _, name in WITH_WINDOWS])


def scattered(rng: np.random.Generator, weight: np.ndarray, zeros: float) -> np.ndarray:
    return weight * (rng.random(weight.shape) >= zeros)


def random_case(rng: np.random.Generator) -> Case:
    """Any image, kernel, strides, dilation and channels; enough zeros that lists are smaller."""
    kernel = [(1, 1), (3, 3), (1, 7), (5, 2)][rng.integers(4)]
    strides, dilation, padding = [tuple(int(v) for v in rng.integers(low, high, size)) for low, high, size in ((1, 3, 2), (1, 3, 2), (0, 3, 4))]
    h, w = [(k - 1) * d + int(rng.integers(1, 12)) for k, d in zip(kernel, dilation, strict=True)]
    image = (int(rng.choice([1, 1, 2])), h, w, int(rng.integers(1, 150)))
    operator, inputs = conv2d(rng, image, int(rng.integers(1, 90)), kernel, strides, padding, dilation, mode=MODES[rng.integers(2)])  # type: ignore[arg-type]
    weight = scattered(rng, operator.weight, rng.uniform(0.9, 1))
    weight[: len(weight) // 2] *= int(rng.integers(2))  # half of the lists may be empty
    return dataclasses.replace(operator, weight=weight), inputs


def taken(cases: list[Case], cpu: tuple[str, str | None]) -> list[Case]:
    """Those whose lists are smaller than their weights: tiny ones may not be."""
    return [case for case in cases if window_sparse.candidate(case[0], target_of(cpu)) is not None]


@cpus
def test_random_shapes(cpu: tuple[str, str | None]) -> None:
    rng = random_generator()
    cases = taken([random_case(rng) for _ in range(30)], cpu)
    assert cases
    check(list(cases), stages, target_of(cpu))


@cpus
def test_every_choice(cpu: tuple[str, str | None]) -> None:
    """Whatever tuning may choose is exact."""
    rng = random_generator()
    check(list(taken([random_case(rng) for _ in range(20)], cpu)), stages, target_of(cpu), choose=any_choice(rng))


@cpus
def test_one_of_four(cpu: tuple[str, str | None]) -> None:
    """With residuals, and with weights of -128; the form is N:M's."""
    rng, cases = random_generator(), []
    for mode, width in zip(MODES, (6, 40), strict=True):
        operator, inputs = conv2d(rng, (1, 3, width, 64), 64, (3, 2), mode=mode, weights=(-128, 127))
        operator = dataclasses.replace(operator, weight=prune(rng, operator.weight, 1))
        cases += [(operator, inputs), with_residual(rng, (operator, inputs))]
        made = window_sparse.candidate(operator, target_of(cpu))
        assert made is not None and made.form == "N:M"
    check(cases, stages, target_of(cpu))


@cpus
def test_dense_layers(cpu: tuple[str, str | None]) -> None:
    """Starts of windows beyond uint16, and layers of zeros, too."""
    rng, cases = random_generator(), []
    for m, k, o, zeros in ((1, 512, 100, 0.9), (5, 70000, 16, 0.95), (3, 64, 20, 1.0)):
        weight = scattered(rng, rng.integers(-127, 128, (o, k)).astype(np.int16), zeros)
        requantize = random_requantize(rng, "float", o, k // 10)
        operator = Dense((TensorType((m, k), "int8"),), TensorType((m, o), "int8"), weight, rng.integers(-99, 99, o).astype(np.int32), requantize, 3)
        cases.append((operator, [rng.integers(-128, 128, (m, k)).astype(np.int8)]))
    check(cases, stages, target_of(cpu))


def test_slots_hold_every_weight_once() -> None:
    rng = random_generator()
    for _ in range(20):
        (out, lines, run), block, window, taps = rng.integers(1, 40, 3), int(rng.integers(1, 20)), int(rng.integers(1, 20)), int(rng.integers(1, 5))
        weight = scattered(rng, rng.integers(-9, 10, (out, lines, run)), rng.uniform(0.3, 1))
        slots, found = slots_of(weight, block, window, taps), np.zeros((-(-out // block) * block, lines, max(run, window)), np.int64)
        assert (np.diff(slots.block) >= 0).all()
        for b, line, start, places, values in zip(slots.block, slots.line, slots.start, slots.places, slots.values, strict=True):
            assert 0 <= start <= max(run - window, 0) and places.max() < window
            np.add.at(found, (b * block + np.arange(block)[:, None], line, start + places), values)
        assert np.array_equal(found[:out, :, :run], weight) and not found[out:].any() and not found[..., run:].any()


def test_where_lists_are_not_taken() -> None:
    """Dense weights, groups and floats; and the form that a layer of one kind is offered is its better one."""
    rng, target = random_generator(), target_of(CPUS[0])
    operator, _ = conv2d(rng, (1, 8, 8, 64), 64, (3, 3))
    assert stages(operator, target, choose_default) is None
    grouped, _ = conv2d(rng, (1, 8, 8, 64), 64, (3, 3), groups=2)
    assert stages(dataclasses.replace(grouped, weight=scattered(rng, grouped.weight, 0.9)), target, choose_default) is None
    forms = [c.form for c in weight_forms.candidates(dataclasses.replace(operator, weight=scattered(rng, operator.weight, 0.95)), target)]
    assert forms.count("unstructured") == 1


def test_lists_beyond_the_first_cache_cost_more() -> None:
    """By each of their bytes that every tile of pixels reads from the second one; where all fit, the cache's size makes no difference."""
    rng = random_generator()
    operator, _ = conv2d(rng, (1, 7, 7, 64), 64, (3, 3))
    operator = dataclasses.replace(operator, weight=prune(rng, operator.weight, 2))
    target = get_target("x86_cpu", "znver4")

    def cost(l1_bytes: int) -> float:
        made = window_sparse.candidate(operator, dataclasses.replace(target, l1_bytes=l1_bytes, optimize="speed"))
        assert made is not None
        return made.cost

    sizes = [cost(1 << shift) for shift in (0, 8, 11, 20, 21)]
    assert sizes[0] > sizes[1] > sizes[2] > sizes[3] == sizes[4]
