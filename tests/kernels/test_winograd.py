"""Winograd convolutions against the oracle, accumulators that wrap around included."""

from __future__ import annotations

import dataclasses
import math
from itertools import product
from typing import Any

import numpy as np
import pytest

from nnc_tvm.schedules.intrin import avx512
from nnc_tvm.schedules.operators import Conv2d, Operator, TensorType
from nnc_tvm.schedules.quantization import FloatClamp
from nnc_tvm.schedules.rule import Choose, Stage, choose_default
from nnc_tvm.schedules.rules import winograd
from nnc_tvm.schedules.rules.contraction import contraction_of
from nnc_tvm.schedules.rules.winograd_forms import F2, F3, F4, WinogradForm, division
from nnc_tvm.schedules.rules.winograd_search import Size, costed_plans, plan_cost, plans_of
from nnc_tvm.schedules.rules.winograd_tiles import fitting_tiles, zones_of
from nnc_tvm.targets.base import Target
from tests.kernels.cases import CPU_NAMES, CPUS, HAS_VNNI, MODES, any_choice, check, random_generator, rule_of, target_of
from tests.kernels.test_conv2d import Case, conv2d, with_residual

WIDE = [isa for isa in avx512.INTEGER if isa.x_dtype == isa.w_dtype == "int16"]  # what Winograd computes with

stages = rule_of(winograd.candidate)


def fast(cpu: tuple[str, str | None]) -> Target:
    return dataclasses.replace(target_of(cpu), optimize="speed")


def random_case(rng: np.random.Generator) -> Case:
    """Any image, padding, channels; weights small enough for a proof."""
    padding = tuple(int(p) for p in rng.integers(0, 3, 4))
    image = (int(rng.choice([1, 1, 2])), int(rng.integers(3, 14)), int(rng.integers(3, 14)), int(rng.choice([2, 3, 8, 13, 16, 20, 40])))
    return conv2d(rng, image, int(rng.choice([1, 5, 8, 16, 24, 33])), (3, 3), padding=padding, mode=MODES[rng.integers(2)])  # type: ignore[arg-type]


@pytest.mark.parametrize("cpu", CPUS[:2], ids=CPU_NAMES[:2])
def test_random_shapes(cpu: tuple[str, str | None]) -> None:
    rng = random_generator()
    check([random_case(rng) for _ in range(6)], stages, fast(cpu))


@pytest.mark.parametrize("cpu", CPUS[:2], ids=CPU_NAMES[:2])
def test_last_channel_is_one_byte(cpu: tuple[str, str | None]) -> None:
    """33 channels, the last stored for itself, behind a clamp on both sides."""
    rng = random_generator()
    check([conv2d(rng, (2, 13, 13, 20), 33, (3, 3), padding=(1, 1, 2, 0), mode=mode) for mode in MODES], stages, fast(cpu))


@pytest.mark.parametrize("cpu", CPUS[:3], ids=CPU_NAMES[:3])
def test_residuals(cpu: tuple[str, str | None]) -> None:
    rng = random_generator()
    cases = [conv2d(rng, (1, 9, 10, 8), 16, (3, 3), padding=(1, 1, 1, 1), mode=mode) for mode in MODES]
    cases += [conv2d(rng, (2, 8, 7, 3), 48, (3, 3), padding=(0, 1, 2, 1)), conv2d(rng, (1, 13, 12, 5), 32, (7, 7), (2, 2), (3, 3, 3, 3))]
    check([with_residual(rng, case) for case in cases], stages, fast(cpu))


@pytest.mark.parametrize("cpu", CPUS[:2], ids=CPU_NAMES[:2])
def test_extremes(cpu: tuple[str, str | None]) -> None:
    """Every accumulator wraps around: constant images and weights just below the bound of each form."""
    rng = random_generator()
    cases = [conv2d(rng, (1, 6, 7, channels), 9, (3, 3), padding=(1, 1, 1, 1), weights=(w, w), images=(x, x), mode="float")
             for channels, w in ((229, 127), (240, -121), (240, -127)) for x in (-128, 127)]
    cases += [conv2d(rng, (1, 7, 6, 128), 9, (4, 4), padding=(1, 1, 1, 1), weights=(w, w), images=(-128, -128)) for w in (-127, 127)]
    check(cases, stages, fast(cpu))


@pytest.mark.parametrize("cpu", CPUS[:2], ids=CPU_NAMES[:2])
def test_strides(cpu: tuple[str, str | None]) -> None:
    """On the phases of the image: kernels that the strides divide and others, a side that is not square."""
    rng = random_generator()
    cases = [conv2d(rng, (1, 17, 20, 3), 16, (7, 7), (2, 2), (3, 3, 2, 3), mode="float"), conv2d(rng, (2, 15, 13, 2), 5, (8, 7), (2, 2)),
             conv2d(rng, (1, 14, 15, 4), 8, (5, 6), (2, 2), (2, 0, 1, 3)), conv2d(rng, (1, 19, 16, 1), 4, (7, 9), (3, 3), (1, 1, 1, 1)),
             conv2d(rng, (1, 9, 10, 8), 12, (4, 4), padding=(1, 2, 1, 2)), conv2d(rng, (1, 11, 12, 6), 9, (3, 6), (1, 2), (1, 1, 1, 1))]
    check(cases, stages, fast(cpu))


@pytest.mark.parametrize("cpu", CPUS[:2], ids=CPU_NAMES[:2])
def test_every_choice(cpu: tuple[str, str | None]) -> None:
    """Whatever tuning may choose is exact."""
    rng = random_generator()
    check([random_case(rng) for _ in range(5)], stages, fast(cpu), choose=any_choice(rng))


@pytest.mark.parametrize("form", [F2, F3, F4], ids=lambda form: form.name)
def test_forms_are_the_convolution(form: WinogradForm) -> None:
    """scale^2 times the convolution, by the transforms on NumPy's integers, in tiles of any sides; and no input is magnified beyond `growth`."""
    rng = random_generator()
    weight = rng.integers(-127, 128, (1, form.taps, form.taps, 1))
    u = form.transform_weights(weight).reshape(form.points, form.points)

    def rectangle(down: Any, across: Any, values: np.ndarray) -> np.ndarray:
        return np.array(down(list(np.array(across(list(values.T))).T)))

    for down, across in product(form.axes.values(), form.axes.values()):
        x = rng.integers(-128, 128, (down.points, across.points))
        v = rectangle(down.input_transform, across.input_transform, x)
        want = [[(x[i : i + form.taps, j : j + form.taps] * weight[0, :, :, 0]).sum() for j in range(across.m)] for i in range(down.m)]
        factor, shift = division(down.scale * across.scale)
        scaled = rectangle(down.output_transform, across.output_transform, u[: down.points, : across.points] * v)
        assert np.array_equal((scaled * factor).astype(np.int32) >> shift, want), (down.m, across.m)
    growths = [np.abs(np.array(axis.input_transform(list(np.eye(axis.points, dtype=np.int64))))).sum(axis=1).max() ** 2 for axis in form.axes.values()]
    assert max(growths) == growths[-1] == form.growth


def test_tiles_fit_the_image() -> None:
    """Every output is in one tile; 14 is 4 + 4 + 4 + 2 and 7 is 4 + 3, of 22 and 11 points."""
    rng = random_generator()
    for form, (n, h, w) in product((F2, F4), ((1, 14, 14), (1, 7, 7), (2, 9, 4), (1, 3, 6), (3, 1, 2))):
        operator, _ = conv2d(rng, (n, h, w, 2), 3, (3, 3), padding=(1, 1, 1, 1))
        c = contraction_of(operator)
        assert c is not None
        kinds = fitting_tiles(c.out, form)
        covered = np.zeros((n, h, w), np.int64)
        for kind, number in [(tiles, number) for tiles in kinds for number in range(tiles.count)]:
            image, top, left = kind.place(number)
            assert top + kind.down.m <= h and left + kind.across.m <= w
            covered[image, top : top + kind.down.m, left : left + kind.across.m] += 1
        assert (covered == 1).all()
        numbers, zones = zones_of(kinds, form.points)
        assert sorted(numbers.values()) == list(range(form.points**2))
        assert sum(zone.points * zone.tiles for zone in zones) == n * math.prod(size + 2 * math.ceil(size / form.m) for size in (h, w))


def test_layers_of_one_size_share_the_search() -> None:
    """Weights decide nothing but their width."""
    target, (isa, *_) = fast(CPUS[0]), WIDE
    sizes = []
    for weights in ((-127, 127), (-90, 3), (-160, 160)):
        operator, _ = conv2d(random_generator(), (1, 7, 9, 12), 20, (3, 3), weights=weights)
        c = contraction_of(operator)
        assert c is not None
        sizes.append(Size.of(c))
    narrow, alike, wide = [costed_plans(size, F4, isa, target) for size in sizes]
    assert narrow is alike and narrow is not wide
    assert [cost for cost, _ in narrow] == [plan_cost(sizes[0], plan, target) for plan in plans_of(sizes[0], F4, isa, target)]


@pytest.mark.parametrize("cpu", CPUS[:2], ids=CPU_NAMES[:2])
def test_float(cpu: tuple[str, str | None]) -> None:
    """Closely: the transforms cancel a few bits."""
    rng = random_generator()
    cases = []
    for _ in range(4):
        integer, _ = random_case(rng)
        weight, bias = rng.standard_normal(integer.weight.shape).astype(np.float32), rng.standard_normal(integer.bias.shape).astype(np.float32)
        source = TensorType(integer.inputs[0].shape, "float32")
        operator = Conv2d((source,), TensorType(integer.output.shape, "float32"), weight, bias, FloatClamp(-1.0, 6.0), 0, padding=integer.padding)
        cases.append((operator, [rng.standard_normal(source.shape).astype(np.float32)]))
    check(list(cases), stages, fast(cpu), tolerance=1e-4)


def test_streamed_weights() -> None:
    """Weights beyond the second cache are prefetched, by every group of a block of tiles; so are those of the chunk to come."""
    rng = random_generator()
    target = dataclasses.replace(fast(CPUS[0]), l2_bytes=1 << 16)
    check([conv2d(rng, (1, 7, 8, 128), 20, (3, 3), padding=(1, 1, 1, 1))], stages, dataclasses.replace(target, stream_bytes=0, stream_cost=1e3))
    check([conv2d(rng, (1, 20, 21, 16), 24, (3, 3)), conv2d(rng, (1, 4, 4, 40), 24, (3, 3), padding=(1, 1, 1, 1))], stages, target)


@pytest.mark.parametrize("cpu", [*CPUS[:3]], ids=CPU_NAMES[:3])
def test_weights_transformed_by_the_kernel(cpu: tuple[str, str | None]) -> None:
    """In several chunks and in one, of every form, bytes and wider weights."""
    rng = random_generator()
    target = dataclasses.replace(fast(cpu), stream_bytes=0, stream_cost=1e3)  # any weights are too many
    cases = [conv2d(rng, (1, 7, 8, channels), 20, (3, 3), padding=(1, 1, 1, 1), mode=mode) for channels in (5, 64) for mode in MODES]
    cases += [conv2d(rng, (1, 9, 8, 64), 16, (3, 3), weights=(-160, 160)), conv2d(rng, (1, 11, 9, 3), 16, (7, 7), (2, 2), (3, 3, 3, 3))]
    cases += [conv2d(rng, (1, 6, 6, 200), 8, (3, 3), weights=(127, 127)), conv2d(rng, (1, 6, 6, 240), 8, (3, 3), weights=(127, 127))]
    for l2_bytes in (target.l2_bytes, 1 << 14):
        small = dataclasses.replace(target, l2_bytes=l2_bytes)
        made = [stages(operator, small, choose_default) for operator, _ in cases]
        assert all(each is not None and "+weights" in each[-1].kernel for each in made)
        check(list(cases), stages, small)


@pytest.mark.parametrize("form", [F2, F3, F4], ids=lambda form: form.name)
def test_weights_transformed_in_registers(form: WinogradForm) -> None:
    """Of every form, for every number of tiles at once; channels that fill no step and no vector, weights from afar."""
    rng = random_generator()
    target = dataclasses.replace(fast(("x86_cpu", "znver4")), l2_bytes=1 << 12)
    kernel = (form.taps, form.taps)
    cases = [conv2d(rng, (2, 9, 8, channels), out, kernel, padding=(1, 1, 2, 1), mode=mode) for channels, out in ((5, 20), (64, 16)) for mode in MODES]
    cases += [with_residual(rng, conv2d(rng, (1, 6, 7, 40), 24, kernel, weights=(-160, 160)))]

    def stages_of(operator: Operator, target: Any, choose: Choose) -> tuple[Stage, ...] | None:
        c = contraction_of(operator)
        assert c is not None
        plans = [plan for isa in WIDE for plan in plans_of(Size.of(c), form, isa, target) if plan.in_registers]
        return winograd.make_stages(operator, c, c, plans[rng.integers(len(plans))])

    if HAS_VNNI:
        check(cases, stages_of, target)
    else:
        assert all(stages_of(operator, target, choose_default) for operator, _ in cases)


def test_only_where_it_is_proven_and_wanted() -> None:
    rng = random_generator()
    target = fast(CPUS[0])
    (proven, _), (unproven, _) = [conv2d(rng, (1, 8, 8, channels), 4, (3, 3), weights=(127, 127)) for channels in (229, 230)]
    assert F4.is_exact(proven.weight) and not F4.is_exact(unproven.weight) and F2.is_exact(unproven.weight)
    (large, _) = conv2d(rng, (1, 56, 56, 64), 64, (3, 3), padding=(1, 1, 1, 1))
    made = stages(large, target, choose_default)
    assert made is not None and "F(4x4,3x3)" in made[-1].kernel
    assert stages(large, dataclasses.replace(target, optimize="size"), choose_default) is None
    balanced = stages(large, dataclasses.replace(target, optimize="balanced"), choose_default)
    assert balanced is not None and balanced[-1].constants[0].nbytes == large.weight.size and len(balanced[-1].scratch) == 3
    assert stages(dataclasses.replace(large, dilation=(2, 2)), target, choose_default) is None
