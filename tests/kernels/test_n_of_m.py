"""Layers of which one or two of every four weights are not zero against the oracle: every instruction, layers of zeros, residuals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nnc_tvm.schedules.rules import groups_of_four, n_of_m
from tests.kernels.cases import CPU_NAMES, CPUS, MODES, any_choice, check, random_generator, rule_of, target_of
from tests.kernels.test_conv2d import Case, conv2d, with_residual

stages = rule_of(n_of_m.candidate)


def prune(rng: np.random.Generator, weight: np.ndarray, n: int) -> np.ndarray:
    """`weight` (..., C) with n of every four left."""
    rank = rng.random((*weight.shape[:-1], weight.shape[-1] // 4, 4)).argsort(-1)
    return weight * (rank < n).reshape(weight.shape)


def random_case(rng: np.random.Generator) -> Case:
    """Any image, kernel, strides and dilation, channels in fours."""
    kernel = [(1, 1), (3, 3), (1, 7), (5, 2)][rng.integers(4)]
    strides, dilation, padding = [tuple(int(v) for v in rng.integers(low, high, size)) for low, high, size in ((1, 3, 2), (1, 3, 2), (0, 3, 4))]
    h, w = [(k - 1) * d + int(rng.integers(1, 12)) for k, d in zip(kernel, dilation, strict=True)]
    image = (int(rng.choice([1, 1, 2])), h, w, 4 * int(rng.integers(1, 20)))
    operator, inputs = conv2d(rng, image, int(rng.integers(1, 70)), kernel, strides, padding, dilation, mode=MODES[rng.integers(2)])  # type: ignore[arg-type]
    return dataclasses.replace(operator, weight=prune(rng, operator.weight, int(rng.integers(0, 3)))), inputs


@pytest.mark.parametrize("cpu", CPUS[:5], ids=CPU_NAMES[:5])
def test_random_shapes(cpu: tuple[str, str | None]) -> None:
    rng = random_generator()
    check([random_case(rng) for _ in range(10)], stages, target_of(cpu))


@pytest.mark.parametrize("cpu", CPUS[:5], ids=CPU_NAMES[:5])
def test_every_choice(cpu: tuple[str, str | None]) -> None:
    """Whatever tuning may choose is exact."""
    rng = random_generator()
    check([random_case(rng) for _ in range(8)], stages, target_of(cpu), choose=any_choice(rng))


@pytest.mark.parametrize("cpu", CPUS[:5], ids=CPU_NAMES[:5])
def test_residuals(cpu: tuple[str, str | None]) -> None:
    rng, cases = random_generator(), []
    for n in (1, 2):
        operator, inputs = conv2d(rng, (1, 6, 7, 24), 32, (3, 2), mode=MODES[n - 1])
        cases.append(with_residual(rng, (dataclasses.replace(operator, weight=prune(rng, operator.weight, n)), inputs)))
    check(cases, stages, target_of(cpu))


def test_fewer_bytes_than_dense_and_its_limits() -> None:
    """2:4 takes 5/8 of the bytes, 1:4 5/16; three of four, channels that are not in fours and floats are left to others."""
    rng, target = random_generator(), target_of(CPUS[0])
    operator, _ = conv2d(rng, (1, 8, 8, 64), 64, (3, 3), weights=(1, 100))
    for n, share in ((1, 5 / 16), (2, 5 / 8)):
        made = n_of_m.candidate(dataclasses.replace(operator, weight=prune(rng, operator.weight, n)), target)
        assert made is not None and made.weight_bytes == operator.weight.size * share
    assert n_of_m.candidate(dataclasses.replace(operator, weight=prune(rng, operator.weight, 3)), target) is None
    odd, _ = conv2d(rng, (1, 8, 8, 6), 8, (3, 3), weights=(0, 0))
    assert n_of_m.candidate(odd, target) is None
    assert groups_of_four.most(np.zeros((2, 8))) == 0
