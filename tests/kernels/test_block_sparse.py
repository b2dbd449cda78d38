"""Block-sparse layers against the oracle: blocks of several sizes, empty rows of blocks, layers of zeros."""

from __future__ import annotations

import dataclasses
from itertools import product
from typing import Any

import numpy as np
import pytest

from nnc_tvm.schedules.operators import Conv2d, Dense, TensorType
from nnc_tvm.schedules.rule import choose_default
from nnc_tvm.schedules.rules import block_sparse
from nnc_tvm.schedules.rules.contraction import contraction_of, instructions_for
from tests.kernels.cases import CPU_NAMES, CPUS, MODES, any_choice, check, random_generator, random_requantize, rule_of, target_of
from tests.kernels.test_conv2d import Case, conv2d, with_residual

stages = rule_of(block_sparse.candidate)


def prune(rng: np.random.Generator, weight: np.ndarray, inputs: int, outputs: int, zeros: float) -> np.ndarray:
    """`weight` (O, ..., C) with that share of its blocks zero."""
    shape = -(-weight.shape[0] // outputs), *weight.shape[1:-1], -(-weight.shape[-1] // inputs)
    mask = (rng.random(shape) >= zeros).repeat(outputs, 0).repeat(inputs, -1)
    return weight * mask[: weight.shape[0], ..., : weight.shape[-1]]


def random_case(rng: np.random.Generator, zeros: float | None = None) -> Case:
    """Any image, kernel, strides, dilation and channels."""
    kernel = [(1, 1), (3, 3), (1, 7), (5, 2)][rng.integers(4)]
    strides, dilation, padding = [tuple(int(v) for v in rng.integers(low, high, size)) for low, high, size in ((1, 3, 2), (1, 3, 2), (0, 3, 4))]
    h, w = [(k - 1) * d + int(rng.integers(1, 12)) for k, d in zip(kernel, dilation, strict=True)]
    image = (int(rng.choice([1, 1, 2])), h, w, int(rng.choice([3, 8, 16, 17, 24, 64])))
    operator, inputs = conv2d(rng, image, int(rng.choice([3, 8, 16, 20, 40, 64])), kernel, strides, padding, dilation,  # type: ignore[arg-type]
                              mode=MODES[rng.integers(2)])
    weight = prune(rng, operator.weight, int(rng.choice([2, 4, 8])), int(rng.choice([4, 8, 16])), rng.uniform(0.5, 1) if zeros is None else zeros)
    weight[: operator.weight.shape[0] // 2] *= int(rng.integers(2))  # half of the blocks' lists may be empty
    weight[..., 0] = 0  # something is left out, always
    return dataclasses.replace(operator, weight=weight), inputs


def taken(cases: list[Case], target: Any) -> list[Case]:
    """Those whose weights have blocks to leave out: tiny ones may have none."""
    return [case for case in cases if block_sparse.candidate(case[0], target) is not None]


@pytest.mark.parametrize("cpu", CPUS[:-1], ids=CPU_NAMES[:-1])
def test_random_shapes(cpu: tuple[str, str | None]) -> None:
    rng, target = random_generator(), target_of(cpu)
    cases = taken([random_case(rng) for _ in range(12)], target)
    assert cases
    check(list(cases), stages, target)


@pytest.mark.parametrize("cpu", CPUS[:-1], ids=CPU_NAMES[:-1])
def test_residuals(cpu: tuple[str, str | None]) -> None:
    rng, target = random_generator(), target_of(cpu)
    cases = []
    for mode in MODES:
        operator, inputs = conv2d(rng, (1, 7, 9, 16), 48, (3, 3), padding=(1, 1, 1, 1), mode=mode)
        cases.append(with_residual(rng, (dataclasses.replace(operator, weight=prune(rng, operator.weight, 4, 16, 0.7)), inputs)))
    check(taken(cases, target), stages, target)


@pytest.mark.parametrize("cpu", CPUS[:3], ids=CPU_NAMES[:3])
def test_layers_of_zeros(cpu: tuple[str, str | None]) -> None:
    rng = random_generator()
    check([random_case(rng, zeros=1.0), random_case(rng, zeros=1.0)], stages, target_of(cpu))


@pytest.mark.parametrize("cpu", CPUS[:-1], ids=CPU_NAMES[:-1])
def test_every_choice(cpu: tuple[str, str | None]) -> None:
    """Whatever tuning may choose is exact."""
    rng, target = random_generator(), target_of(cpu)
    check(list(taken([random_case(rng) for _ in range(8)], target)), stages, target, choose=any_choice(rng))


@pytest.mark.parametrize("cpu", CPUS[:3], ids=CPU_NAMES[:3])
def test_dense_layers(cpu: tuple[str, str | None]) -> None:
    """Places beyond uint16, too."""
    rng = random_generator()
    for m, k, o in ((1, 512, 100), (5, 70000, 16)):
        weight = prune(rng, rng.integers(-127, 128, (o, k)).astype(np.int16), 4, 16, 0.9)
        operator = Dense((TensorType((m, k), "int8"),), TensorType((m, o), "int8"), weight, rng.integers(-99, 99, o).astype(np.int32),
                         random_requantize(rng, "float", o, k // 10), 3)
        check([(operator, [rng.integers(-128, 128, (m, k)).astype(np.int8)])], stages, target_of(cpu))


def test_dense_weights_are_no_candidate() -> None:
    rng = random_generator()
    operator, _ = conv2d(rng, (1, 8, 8, 16), 16, (3, 3))
    grouped, _ = conv2d(rng, (1, 8, 8, 16), 16, (3, 3), groups=2)
    assert stages(operator, target_of(CPUS[0]), choose_default) is None
    assert stages(dataclasses.replace(grouped, weight=grouped.weight * 0), target_of(CPUS[0]), choose_default) is None
    assert isinstance(operator, Conv2d)


def test_weights_are_counted_before_blocks() -> None:
    """By their number no tile is left out that has blocks to leave out: channels and runs that fill no block, about as many zeros as it takes."""
    rng = random_generator()
    found = 0
    for zeros, out in product((0.3, 0.5, 0.6), (3, 17, 24, 40)):
        case, _ = random_case(rng, zeros)
        operator, _ = conv2d(rng, (1, 3, 4, int(rng.choice([3, 16, 20]))), out, (1, 3))
        for weight in (case.weight, prune(rng, operator.weight, 4, 16, zeros)):
            c = contraction_of(dataclasses.replace(case if weight is case.weight else operator, weight=weight))
            assert c is not None
            for isa in instructions_for(c, target_of(CPUS[0]).features):
                cells = block_sparse.nonzero_cells(c, isa)
                wanted = {vectors for vectors in isa.tiles if block_sparse.together(cells, vectors).mean() <= block_sparse.SPARSE}
                found += len(wanted)
                assert wanted <= {plan.tile.vectors for plan in block_sparse.plans_of(c, isa)}
    assert found
