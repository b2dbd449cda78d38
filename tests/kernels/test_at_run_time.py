"""Contractions whose epilogue has parameters of the run, in every form that their weights allow, on every CPU against the oracle."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nnc_tvm.schedules.operators import Conv2d, Dense, DepthwiseConv2d, Operator, TensorType
from nnc_tvm.schedules.quantization import RescaleAtRunTime
from nnc_tvm.schedules.rules import depthwise, weight_forms
from tests.kernels.cases import CPU_NAMES, CPUS, check, random_generator, rule_of, target_of

Case = tuple[Operator, list[np.ndarray]]


def case(rng: np.random.Generator, kind: type[Any], x: tuple[int, ...], y: tuple[int, ...], weight: np.ndarray, rows: int, symmetric: bool = False,
         low: float = -np.inf, high: float = np.inf, **kw: Any) -> Case:
    """A layer of random scales, and its inputs."""
    out = y[-1]
    taps = tuple(range(weight.ndim - 1)) if kind is DepthwiseConv2d else tuple(range(1, weight.ndim))
    sums = np.zeros(out) if symmetric else weight.astype(np.int64).sum(taps)
    scale, bias = rng.uniform(1e-3, 1e-2, out).astype(np.float32), rng.standard_normal(out).astype(np.float32)
    epilogue = RescaleAtRunTime(scale, bias, sums.astype(np.int32), low, high)
    types = TensorType(x, "int8"), TensorType((2, rows), "float32")
    operator = kind(types, TensorType(y, "float32"), weight.astype(np.int16), np.zeros(out, np.int32), epilogue, **kw)
    zeros = np.zeros(rows) if symmetric else rng.integers(-128, 128, rows)
    return operator, [rng.integers(-128, 128, x).astype(np.int8), np.stack([zeros, rng.uniform(0.01, 0.1, rows)]).astype(np.float32)]


@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_sums(cpu: tuple[Any, ...]) -> None:
    """One row of parameters and several, with zero points and without, groups, borders, odd channels."""
    rng = random_generator()

    def weights(*shape: int) -> np.ndarray:
        return rng.integers(-128, 128, shape)

    check([
        case(rng, Dense, (1, 37), (1, 19), weights(19, 37), 1, low=0.0),
        case(rng, Dense, (9, 32), (9, 24), weights(24, 32), 9, symmetric=True),
        case(rng, Dense, (5, 33), (5, 16), weights(16, 33), 5, high=1.5, low=-1.5),
        case(rng, Dense, (6, 20), (6, 7), weights(7, 20), 2),
        case(rng, Conv2d, (1, 9, 7, 5), (1, 9, 7, 10), weights(10, 3, 3, 5), 1, symmetric=True, padding=(1, 1, 1, 1)),
        case(rng, Conv2d, (3, 8, 6, 6), (3, 3, 2, 8), weights(8, 3, 3, 3), 3, groups=2, strides=(2, 2)),
        case(rng, Conv2d, (2, 5, 3, 19), (2, 5, 3, 6), weights(6, 1, 1, 19), 2, low=0.0, high=6.0),
    ], weight_forms.stages, target_of(cpu), 1e-6)
    check([
        case(rng, DepthwiseConv2d, (1, 9, 7, 16), (1, 7, 5, 16), weights(3, 3, 16), 1, low=0.0, high=6.0),
        case(rng, DepthwiseConv2d, (2, 9, 7, 3), (2, 7, 5, 6), weights(3, 3, 6), 2),
        case(rng, DepthwiseConv2d, (4, 9, 7, 24), (4, 3, 2, 24), weights(5, 5, 24), 2, strides=(2, 2), symmetric=True),
        case(rng, DepthwiseConv2d, (1, 5, 7, 5), (1, 5, 7, 5), weights(3, 3, 5), 1, symmetric=True, padding=(1, 1, 1, 1)),
    ], depthwise.stages, target_of(cpu), 1e-6)


@pytest.mark.parametrize("cpu", CPUS[:-1], ids=CPU_NAMES[:-1])
def test_forms(cpu: tuple[Any, ...]) -> None:
    """Winograd, pruned and 4-bit weights."""
    rng = random_generator()
    target = replace(target_of(cpu), optimize="speed")
    small = rng.integers(-7, 8, (32, 3, 3, 16))
    pruned = small * (rng.random((32, 1, 1, 16)) < 0.2) * (rng.random(small.shape) < 0.5)
    blocks = small * np.repeat(rng.random((8, 3, 3, 4)) < 0.2, 4, 3).repeat(4, 0)
    quarter = np.where(np.arange(16) % 4 == rng.integers(0, 4, (32, 3, 3, 1)), small, 0)
    found = set()
    for weight in (small, pruned, blocks, quarter):
        operator, inputs = case(rng, Conv2d, (1, 12, 11, 16), (1, 10, 9, 32), weight, 1, low=-3.0)
        assert len(weight_forms.candidates(operator, target)) > 1
        for k, candidate in enumerate(weight_forms.candidates(operator, target)):
            found.add(candidate.form)
            check([(operator, inputs)], rule_of(lambda o, t, k=k: weight_forms.candidates(o, t)[k]), target, 1e-6)  # type: ignore[misc]
    assert found >= {"dense", "winograd", "block", "unstructured", "int4"}, found
