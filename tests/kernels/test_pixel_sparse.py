"""Convolutions with scattered zeros against the oracle: channels without weights, layers of zeros, strides, dilations."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from nnc_tvm.schedules.rule import choose_default
from nnc_tvm.schedules.rules import pixel_quads, pixel_runs, pixel_sparse
from tests.kernels.cases import CPU_NAMES, CPUS, MODES, any_choice, check, random_generator, rule_of, target_of
from tests.kernels.test_conv2d import Case, conv2d

stages = rule_of(pixel_sparse.candidate)


def random_case(rng: np.random.Generator, zeros: float | None = None) -> Case:
    """Any image, kernel and strides or dilation, channels that every instruction takes."""
    kernel = [(1, 1), (3, 3), (1, 7), (5, 2)][rng.integers(4)]
    factors, padding = [tuple(int(v) for v in rng.integers(low, high, size)) for low, high, size in ((1, 3, 2), (0, 3, 4))]
    strides, dilation = [(factors, (1, 1)), ((1, 1), factors)][rng.integers(2)]
    h, w = [(k - 1) * d + int(rng.integers(1, 20)) for k, d in zip(kernel, dilation, strict=True)]
    image = (int(rng.choice([1, 1, 2])), h, w, int(rng.choice([4, 8, 24, 64])))
    operator, inputs = conv2d(rng, image, int(rng.choice([3, 8, 20, 40])), kernel, strides, padding, dilation, mode=MODES[rng.integers(2)])  # type: ignore[arg-type]
    weight = operator.weight * (rng.random(operator.weight.shape) >= (rng.uniform(0.8, 1) if zeros is None else zeros))
    weight[: operator.weight.shape[0] // 2] *= int(rng.integers(2))
    return dataclasses.replace(operator, weight=weight), inputs


def taken(cases: list[Case], target: Any) -> list[Any]:
    """Those whose lists are smaller than their weights: tiny ones may have none."""
    return [case for case in cases if pixel_sparse.candidate(case[0], target) is not None]


@pytest.mark.parametrize("cpu", CPUS[:4], ids=CPU_NAMES[:4])
def test_random_shapes(cpu: tuple[str, str | None]) -> None:
    rng, target = random_generator(), target_of(cpu)
    cases = taken([random_case(rng) for _ in range(10)], target)
    assert cases
    check(cases, stages, target)


@pytest.mark.parametrize("cpu", CPUS[:4], ids=CPU_NAMES[:4])
def test_layers_of_zeros_and_every_choice(cpu: tuple[str, str | None]) -> None:
    rng = random_generator()

    target = target_of(cpu)
    cases = taken([random_case(rng, zeros) for zeros in (1.0, 1.0, 0.95, 0.97, 0.97)], target)
    assert cases
    check(cases, stages, target, choose=any_choice(rng))


@pytest.mark.parametrize("streams", [1, 2])
@pytest.mark.parametrize("backwards", [False, True])
def test_lists_hold_every_weight(backwards: bool, streams: int) -> None:
    """Walking the steps finds each weight at its place; every pair of two streams has at most one weight of a sign; far steps are made in several."""
    rng = random_generator()
    for zeros in (0.5, 0.97, 1.0):
        row = (rng.integers(-128, 128, 3000) * (rng.random(3000) >= zeros)).astype(np.int8)
        steps, values = pixel_quads.streams_of(row, backwards, streams)
        assert steps.size % 4 == 0 and np.abs(steps).max(initial=0) <= pixel_quads.STEP
        assert streams == 1 or ((values[:, 0] >= 0).all() and (values[:, 1] <= 0).all())
        places = np.cumsum(steps, axis=0) + (len(row) - 1 if backwards else 0)
        found = np.zeros(len(row), np.int64)
        np.add.at(found, places.reshape(-1), values.reshape(-1))
        assert (found == row).all()


def test_lists_are_smaller_than_what_they_replace() -> None:
    """Half of the weights zero is too little: a weight and its place take more than two bytes."""
    rng, target = random_generator(), target_of(CPUS[0])
    operator, _ = conv2d(rng, (1, 14, 14, 64), 64, (3, 3))
    for zeros, listed in ((0.4, False), (0.8, True), (0.95, True)):
        made = pixel_sparse.candidate(dataclasses.replace(operator, weight=operator.weight * (rng.random(operator.weight.shape) >= zeros)), target)
        assert (made is not None) == listed and (made is None or made.weight_bytes < operator.weight.size)


def test_runs_hold_every_weight_and_fit_int16() -> None:
    """Entries give back the weights; no run's magnitudes exceed what int16 holds of products by -128; nearly all runs are full."""
    rng = random_generator()
    for zeros, largest in ((0.6, 127), (0.9, 30), (0.97, 4), (1.0, 127)):
        rows = (rng.integers(-largest - 1, largest + 1, (7, 900)) * (rng.random((7, 900)) >= zeros)).astype(np.int8)
        rows[3] = 0
        lengths, first, weights, order = pixel_runs.lists_of(rows)
        found = np.zeros(rows.shape, np.int64)
        for i, length in enumerate(lengths):
            for o in range(len(rows)):
                entries = slice(first[i, o], first[i, o + 1])
                runs = np.abs(weights[entries].astype(np.int64)).reshape(-1, length)
                assert (128 * runs.sum(1) < 2**15).all()
                np.add.at(found[o], order[entries], weights[entries])
        assert (found == rows).all()
        runs = sum(int(first[i, -1] - first[i, 0]) // length for i, length in enumerate(lengths))
        least = sum(max(np.abs(row.astype(np.int64)).sum() / pixel_runs.LIMIT, np.count_nonzero(row) / pixel_runs.LONGEST) for row in rows)
        windows = sum(-(-np.count_nonzero(row) // pixel_runs.WINDOW) for row in rows)
        assert runs <= 1.25 * least + windows


def test_armv8_takes_runs_where_they_cost_least() -> None:
    rng, target = random_generator(), target_of(CPUS[2])
    operator, _ = conv2d(rng, (1, 14, 14, 64), 64, (3, 3), padding=(1, 1, 1, 1))
    made = pixel_sparse.candidate(dataclasses.replace(operator, weight=operator.weight * (rng.random(operator.weight.shape) >= 0.9)), target)
    assert made is not None and any("runs smlal" in stage.kernel for stage in made.build(choose_default))
