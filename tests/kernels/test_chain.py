"""Chains in one kernel against the oracle: the integers of the links one by one, whatever the bands."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from nnc_tvm.schedules.operators import Chain, Conv2d, Dense, DepthwiseConv2d, TensorType
from nnc_tvm.schedules.operators.operator import WeightedSum
from nnc_tvm.schedules.rules import chain
from tests.kernels.cases import CPU_NAMES, CPUS, MODES, any_choice, check, random_generator, random_requantize, rule_of, target_of
from tests.kernels.test_conv2d import with_residual

stages = rule_of(chain.candidate)
Case = tuple[Chain, list[np.ndarray]]


def next_conv2d(rng: np.random.Generator, image: tuple[int, ...], out: int, kernel: tuple[int, int] = (1, 1), strides: tuple[int, int] = (1, 1),
                padding: tuple[int, int, int, int] = (0, 0, 0, 0), dilation: tuple[int, int] = (1, 1), groups: int = 1) -> Conv2d:
    """A convolution of `image` with random weights."""
    n, h, w, c = image
    oh, ow = [(size + padding[k] + padding[k + 2] - (kernel[k] - 1) * dilation[k] - 1) // strides[k] + 1 for k, size in enumerate((h, w))]
    weight = rng.integers(-127, 128, (out, *kernel, c // groups)).astype(np.int16)
    return Conv2d((TensorType(image, "int8"),), TensorType((n, oh, ow, out), "int8"), weight, rng.integers(-5000, 5000, out).astype(np.int32),
                  random_requantize(rng, MODES[rng.integers(2)], out, weight[0].size), int(rng.integers(-128, 128)), strides, padding, dilation, groups)


def next_dense(rng: np.random.Generator, rows: int, depth: int, out: int) -> Dense:
    return Dense((TensorType((rows, depth), "int8"),), TensorType((rows, out), "int8"), rng.integers(-127, 128, (out, depth)).astype(np.int16),
                 rng.integers(-5000, 5000, out).astype(np.int32), random_requantize(rng, MODES[rng.integers(2)], out, depth), int(rng.integers(-128, 128)))


def case(rng: np.random.Generator, links: Sequence[WeightedSum]) -> Case:
    made = Chain.of(*links)
    return made, [rng.integers(-128, 128, made.inputs[0].shape).astype(np.int8)]


def random_channels(rng: np.random.Generator) -> int:
    return int(rng.choice([1, 3, 8, 12, 17, 20, 64]))


def random_pointwise(rng: np.random.Generator) -> Case:
    """1x1 convolutions or dense layers, two or three."""
    count = int(rng.integers(2, 4))
    if rng.random() < 0.5:
        rows, depths = int(rng.choice([1, 5, 12])), [random_channels(rng) for _ in range(count + 1)]
        return case(rng, [next_dense(rng, rows, k, o) for k, o in zip(depths, depths[1:], strict=False)])
    image = (int(rng.choice([1, 3])), int(rng.integers(1, 9)), int(rng.integers(1, 9)), random_channels(rng))
    links = []
    for _ in range(count):
        links.append(next_conv2d(rng, image, random_channels(rng)))
        image = links[-1].output.shape  # type: ignore[assignment]
    return case(rng, links)


def random_spatial(rng: np.random.Generator) -> Case:
    """Any kernels, strides, dilation and padding, one after the other."""
    image: tuple[int, ...] = (int(rng.choice([1, 1, 3])), int(rng.integers(9, 16)), int(rng.integers(9, 16)), random_channels(rng))
    links: list[Conv2d] = []
    for _ in range(int(rng.integers(2, 4))):
        kernel = [(1, 1), (3, 3), (1, 3), (3, 1), (2, 2)][rng.integers(5)]
        strides, dilation = [tuple(int(v) for v in rng.integers(1, 3, 2)) if rng.random() < 0.3 else (1, 1) for _ in range(2)]
        if any((k - 1) * d + 1 > size for k, d, size in zip(kernel, dilation, image[1:3], strict=True)):
            break
        padding = tuple(int(v) for v in rng.integers(0, 3, 4)) if rng.random() < 0.6 else (0, 0, 0, 0)
        links.append(next_conv2d(rng, image, random_channels(rng), kernel, strides, padding, dilation))  # type: ignore[arg-type]
        image = links[-1].output.shape
    return case(rng, links)


def next_depthwise(rng: np.random.Generator, image: tuple[int, ...], kernel: tuple[int, int], strides: tuple[int, int], padding: tuple[int, int, int, int],
                   dilation: tuple[int, int] = (1, 1)) -> DepthwiseConv2d:
    """A depthwise convolution of `image` with random weights."""
    n, h, w, c = image
    oh, ow = [(size + padding[k] + padding[k + 2] - (kernel[k] - 1) * dilation[k] - 1) // strides[k] + 1 for k, size in enumerate((h, w))]
    weight = rng.integers(-127, 128, (*kernel, c)).astype(np.int16)
    return DepthwiseConv2d((TensorType(image, "int8"),), TensorType((n, oh, ow, c), "int8"), weight, rng.integers(-5000, 5000, c).astype(np.int32),
                           random_requantize(rng, MODES[rng.integers(2)], c, kernel[0] * kernel[1]), int(rng.integers(-128, 128)), strides, padding, dilation)


def random_factors(rng: np.random.Generator) -> Case:
    """Depthwise layers of any kernels, strides and paddings first, last or between pointwise and other layers, as of a CP decomposition."""
    image: tuple[int, ...] = (int(rng.choice([1, 1, 3])), int(rng.integers(9, 16)), int(rng.integers(9, 16)), random_channels(rng))
    links: list[WeightedSum] = []
    for kind in ["1dd1", "1d1", "d1", "1d", "dd", "3d1", "d3", "1dd"][rng.integers(8)]:
        kernel = [(3, 3), (1, 3), (3, 1), (5, 1), (1, 5), (2, 2), (4, 3)][rng.integers(7)]
        strides = tuple(int(v) for v in rng.integers(1, 3, 2)) if rng.random() < 0.4 else (1, 1)
        dilation = (1, 2) if rng.random() < 0.2 else (2, 1) if rng.random() < 0.2 else (1, 1)
        padding = [(0, 0, 0, 0), tuple(k // 2 for k in (*kernel, *kernel)), tuple(int(v) for v in rng.integers(0, 3, 4))][rng.integers(3)]
        if kind == "1":
            links.append(next_conv2d(rng, image, random_channels(rng)))
        elif any((k - 1) * d + 1 > size for k, d, size in zip(kernel, dilation, image[1:3], strict=True)):
            continue
        elif kind == "3":
            links.append(next_conv2d(rng, image, random_channels(rng), kernel, padding=padding))  # type: ignore[arg-type]
        else:
            links.append(next_depthwise(rng, image, kernel, strides, padding, dilation))  # type: ignore[arg-type]
        image = links[-1].output.shape
    return case(rng, links)


def random_residual(rng: np.random.Generator) -> Case:
    """What the last link adds is another tensor."""
    image = (int(rng.choice([1, 3])), int(rng.integers(3, 9)), int(rng.integers(3, 9)), random_channels(rng))
    first = next_conv2d(rng, image, random_channels(rng), (3, 3), padding=(1, 1, 1, 1)) if rng.random() < 0.5 else next_conv2d(rng, image, 8)
    last = next_conv2d(rng, first.output.shape, 32)
    added, arrays = with_residual(rng, (last, [rng.integers(-128, 128, image).astype(np.int8)]))
    return Chain.of(first, added), arrays


@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_residuals(cpu: tuple[str, str | None]) -> None:
    rng = random_generator()
    check([random_residual(rng) for _ in range(8)], stages, target_of(cpu))


@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_random_shapes(cpu: tuple[str, str | None]) -> None:
    rng = random_generator()
    check([make(rng) for make in [random_pointwise] * 5 + [random_spatial] * 8 + [random_factors] * 12], stages, target_of(cpu))


@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_every_choice(cpu: tuple[str, str | None]) -> None:
    """Whatever tuning may choose is exact."""
    rng = random_generator()
    made = [make(rng) for make in [random_pointwise] * 4 + [random_spatial, random_factors] * 5]
    check(made, stages, target_of(cpu), choose=any_choice(rng))


def test_no_band_is_all_of_an_image() -> None:
    """What lies between links is never whole, unless it is one row."""
    assert chain.sizes(1) == [1]
    assert all(chain.sizes(rows) and max(chain.sizes(rows)) < rows for rows in range(2, 300))


@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_of_the_heights_none_is_better_in_all(cpu: tuple[str, str | None]) -> None:
    """Each that needs more memory than another costs less."""
    rng = random_generator()
    for make in [random_pointwise] * 4 + [random_residual] * 4:
        made = chain.candidates(make(rng)[0], target_of(cpu))
        for a, b in itertools.permutations(made, 2):
            worse = a.scratch_bytes >= b.scratch_bytes and a.cost >= b.cost and a.overwrites <= b.overwrites and a.overlap >= b.overlap
            assert not worse
