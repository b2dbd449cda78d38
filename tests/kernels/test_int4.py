"""Convolutions and dense layers whose weights are stored as two in a byte, against the oracle."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from nnc_tvm.schedules.intrin.short_sums import SHORT
from nnc_tvm.schedules.rule import choose_default
from nnc_tvm.schedules.rules import int4, weight_forms
from tests.kernels.cases import CPU_NAMES, CPUS, MODES, any_choice, check, random_generator, rule_of, target_of
from tests.kernels.test_conv2d import Case, conv2d, random_conv2d, with_residual

stages = rule_of(int4.candidate)


def random_case(rng: np.random.Generator) -> Case:
    """Any convolution without groups, weights of at most 4 bits."""
    operator, inputs = random_conv2d(rng)
    while operator.groups > 1:
        operator, inputs = random_conv2d(rng)
    low, high = [(-8, 7), (-7, 7), (-1, 1)][rng.integers(3)]
    return dataclasses.replace(operator, weight=rng.integers(low, high + 1, operator.weight.shape).astype(np.int16)), inputs


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
def test_extremes(cpu: tuple[str, str | None]) -> None:
    """The largest sums that int16 must hold: long reductions of saturated weights and images, of several kernel rows and of one."""
    rng = random_generator()
    cases = [conv2d(rng, (1, 5, 6, depth), 16, kernel, weights=(w, w), images=(x, x), mode=MODES[rng.integers(2)])
             for depth, kernel in ((48, (3, 3)), (8, (5, 1)), (260, (1, 1))) for w in (-8, -7, 7) for x in (-128, 127)]
    check(list(cases), stages, target_of(cpu))


@pytest.mark.parametrize("cpu", CPUS[:5], ids=CPU_NAMES[:5])
def test_residuals(cpu: tuple[str, str | None]) -> None:
    rng = random_generator()
    cases = [conv2d(rng, (1, 6, 7, 24), 32, kernel, weights=(-8, 7), mode=mode) for kernel in ((1, 1), (3, 2)) for mode in MODES]
    check([with_residual(rng, case) for case in cases], stages, target_of(cpu))


@pytest.mark.parametrize("cpu", CPUS[:5], ids=CPU_NAMES[:5])
def test_few_pixels(cpu: tuple[str, str | None]) -> None:
    """Weights are unpacked in registers where nothing else uses them."""
    rng, target = random_generator(), target_of(cpu)
    cases = [conv2d(rng, (1, 1, pixels, depth), 64, weights=(-8, 7)) for pixels, depth in ((1, 64), (1, 256), (2, 96))]
    made = [stages(operator, target, choose_default) for operator, _ in cases]
    assert all(m is not None and "in registers" in m[-1].kernel for m in made[:2]), [m[-1].kernel for m in made]
    check(list(cases), stages, target)


@pytest.mark.parametrize("cpu", CPUS[:5], ids=CPU_NAMES[:5])
def test_speed_takes_what_is_faster(cpu: tuple[str, str | None]) -> None:
    """Four bits save products where their sums stay in int16; with a dot product of bytes they only cost the unpacking."""
    rng, target = random_generator(), dataclasses.replace(target_of(cpu), optimize="speed")
    operator, _ = conv2d(rng, (1, 14, 14, int(rng.choice([24, 64, 160]))), int(rng.choice([24, 64, 160])), weights=(-7, 7))
    taken = weight_forms.best(operator, target)
    assert taken is not None and (taken.form == "int4") == (not target.features & {"dotprod", "avx512vnni"}), operator


@pytest.mark.parametrize("cpu", CPUS[:5], ids=CPU_NAMES[:5])
def test_short_panels(cpu: tuple[str, str | None]) -> None:
    """All are unpacked before any is read: shallow reductions of many output channels."""
    rng = random_generator()
    cases = [conv2d(rng, (1, 5, 7, depth), out, weights=(-8, 7), mode=MODES[rng.integers(2)]) for depth, out in ((8, 100), (16, 64), (24, 144))]
    check(list(cases), stages, target_of(cpu), parts=2)


@pytest.mark.parametrize("isa", SHORT, ids=lambda isa: isa.name)
def test_chains_are_as_long_as_int16_allows(isa: Any) -> None:
    for weight in (1, 7, 8):
        largest = 2 * isa.x_largest * weight
        assert isa.chain(weight) * largest < 2**15 <= (isa.chain(weight) + 1) * largest


def test_only_weights_of_four_bits(cpu: tuple[str, str | None] = CPUS[0]) -> None:
    rng = random_generator()
    target = target_of(cpu)
    assert int4.candidate(conv2d(rng, (1, 5, 6, 16), 16, weights=(-9, 7))[0], target) is None
    fits, dense = conv2d(rng, (1, 5, 6, 64), 64, weights=(-8, 7))[0], conv2d(rng, (1, 5, 6, 64), 64)[0]
    taken = int4.candidate(fits, target)
    assert taken is not None and taken.weight_bytes == dense.weight.size // 2
