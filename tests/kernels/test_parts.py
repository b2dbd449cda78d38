"""Kernels in parts: one after the other, the last first, they compute what the whole kernel does."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from nnc_tvm.schedules.operators import MatMul, Table, TensorType
from nnc_tvm.schedules.rule import Rule
from nnc_tvm.schedules.rules import block_sparse, contraction, depthwise, int4, matmul, pixel_sparse, table, winograd
from tests.kernels import test_block_sparse, test_depthwise, test_int4, test_pixel_sparse
from tests.kernels.cases import CPUS, check, in_parts, random_generator, random_requantize, rule_of, target_of
from tests.kernels.test_conv2d import conv2d, random_conv2d, with_residual

HERE, VECTORS, ONCE = CPUS[0], (CPUS[0], CPUS[3]), ("avx2", "a76")


def parts_of(rng: np.random.Generator) -> int:
    """Fewer than loops have turns, and more."""
    return int(rng.choice([2, 3, 5, 64]))


@pytest.mark.parametrize("cpu", [*VECTORS, CPUS[-1]], ids=[*ONCE, "c"])
def test_dense_forms(cpu: Any) -> None:
    rng = random_generator()
    target = target_of(cpu)
    cases = [random_conv2d(rng) for _ in range(6)] + [with_residual(rng, conv2d(rng, (1, 7, 9, 16), 48, (3, 3), padding=(1, 1, 1, 1)))]
    check(list(cases), contraction.stages, target, parts=parts_of(rng))
    check(test_depthwise.random_cases(rng, "fixed"), depthwise.stages, target, parts=parts_of(rng))


@pytest.mark.parametrize("cpu", VECTORS, ids=ONCE)
def test_forms_with_scratch_and_lists(cpu: Any) -> None:
    rng = random_generator()
    target = dataclasses.replace(target_of(cpu), optimize="speed")
    images = [(1, 17, 19, 16), (1, 7, 7, 64), (2, 9, 6, 8)]
    check([conv2d(rng, image, 40, (3, 3), padding=(1, 1, 1, 1), weights=(-30, 30)) for image in images], rule_of(winograd.candidate), target,
          parts=parts_of(rng))
    check([test_int4.random_case(rng) for _ in range(4)], rule_of(int4.candidate), target, parts=parts_of(rng))
    for module, candidate in ((test_block_sparse, block_sparse.candidate), (test_pixel_sparse, pixel_sparse.candidate)):
        sparse = [case for case in [module.random_case(rng) for _ in range(6)] if candidate(case[0], target) is not None]
        check(sparse, rule_of(candidate), target, parts=parts_of(rng))


@pytest.mark.parametrize("cpu", [*VECTORS, CPUS[-1]], ids=[*ONCE, "c"])
def test_products_and_tables(cpu: Any) -> None:
    rng = random_generator()
    inputs = (TensorType((3, 7, 33), "int8"), TensorType((3, 33, 17), "int8"))
    operator = MatMul(inputs, TensorType((3, 7, 17), "int8"), random_requantize(rng, "fixed", 1, 33), (3, -7))
    check([(operator, [rng.integers(-128, 128, t.shape).astype(np.int8) for t in inputs])], matmul.stages, target_of(cpu), parts=parts_of(rng))
    for elements in (5, 100, 4096):
        image = TensorType((elements,), "int8")
        look_up = Table((image,), image, rng.integers(-128, 128, 256).astype(np.int8))
        check([(look_up, [rng.integers(-128, 128, elements).astype(np.int8)])], table.stages, target_of(cpu), parts=parts_of(rng))


def test_every_weighted_kernel_is_divided() -> None:
    """Large layers of every form, however few pixels they have."""
    rng = random_generator()
    target = dataclasses.replace(target_of(HERE), optimize="speed")
    deep = conv2d(rng, (1, 7, 7, 128), 128, (3, 3), padding=(1, 1, 1, 1), weights=(-8, 7))[0]
    zeros = dataclasses.replace(deep, weight=deep.weight * (np.arange(128) % 16 < 2))
    rules: list[tuple[Any, Rule]] = [(deep, contraction.stages)]
    rules += [(o, rule_of(form.candidate)) for o, form in ((deep, winograd), (deep, int4), (zeros, block_sparse), (zeros, pixel_sparse))]
    for operator, rule in rules:
        made = rule(operator, target, lambda name, candidates, default: default)
        assert isinstance(made, tuple) and all(stage.parts == 2 for stage in in_parts(made, 2))
