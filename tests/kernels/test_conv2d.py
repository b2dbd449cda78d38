"""Convolutions of every CPU's kernels against the oracle: integers exactly, floats closely."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nnc_tvm.schedules.operators import Conv2d, LinearCombination, TensorType
from nnc_tvm.schedules.quantization import FixedRequantize, FloatClamp, FloatRequantize, Mode, ScaleToFloat
from nnc_tvm.schedules.rule import choose_default
from nnc_tvm.schedules.rules import contraction
from nnc_tvm.targets.base import Target
from tests.kernels.cases import CPU_NAMES, CPUS, MODES, any_choice, check, random_generator, random_requantize, target_of

Case = tuple[Conv2d, list[np.ndarray]]


def conv2d(rng: np.random.Generator, image: tuple[int, int, int, int], out: int, kernel: tuple[int, int] = (1, 1), strides: tuple[int, int] = (1, 1),
           padding: tuple[int, int, int, int] = (0, 0, 0, 0), dilation: tuple[int, int] = (1, 1), groups: int = 1, mode: Mode = "fixed",
           weights: tuple[int, int] = (-127, 127), images: tuple[int, int] = (-128, 127)) -> Case:
    """A convolution with random weights and a random image, both within the given bounds."""
    n, h, w, c = image
    oh, ow = [(size + padding[k] + padding[k + 2] - (kernel[k] - 1) * dilation[k] - 1) // strides[k] + 1 for k, size in enumerate((h, w))]
    weight = rng.integers(weights[0], weights[1] + 1, (out, *kernel, c // groups)).astype(np.int16)
    epilogue = random_requantize(rng, mode, out, weight[0].size)
    operator = Conv2d((TensorType(image, "int8"),), TensorType((n, oh, ow, out), "int8"), weight, rng.integers(-5000, 5000, out).astype(np.int32), epilogue,
                      int(rng.integers(-128, 128)), strides, padding, dilation, groups)
    return operator, [rng.integers(images[0], images[1] + 1, image).astype(np.int8)]


def with_residual(rng: np.random.Generator, case: Case) -> Case:
    """The convolution, which adds another tensor to its result."""
    conv, inputs = case
    assert isinstance(conv.epilogue, FixedRequantize | FloatRequantize)
    mode: Mode = "fixed" if isinstance(conv.epilogue, FixedRequantize) else "float"
    scales = [(float(rng.uniform(0.01, 0.2)), zero_point) for zero_point in (conv.epilogue.zero_point, *(int(z) for z in rng.integers(-128, 128, 2)))]
    low = scales[2][1] if rng.random() < 0.5 else -128
    residual = LinearCombination.build(mode, (conv.output, conv.output), conv.output, tuple(scales), int(rng.choice([-1, 1])), low)
    operator = dataclasses.replace(conv, inputs=(*conv.inputs, conv.output), residual=residual)
    return operator, [*inputs, rng.integers(-128, 128, conv.output.shape).astype(np.int8)]


def random_conv2d(rng: np.random.Generator, channels: int = 0) -> Case:
    """Any shape: kernels, strides, dilations, padding, groups and channels that fit no vector, or `channels` for each group."""
    groups = int(rng.choice([1, 1, 1, 2, 3]))
    kernel = [(1, 1), (3, 3), (1, 7), (5, 2), (2, 2)][rng.integers(5)]
    strides, dilation, padding = [tuple(int(v) for v in rng.integers(low, high, size)) for low, high, size in ((1, 4, 2), (1, 3, 2), (0, 3, 4))]
    if rng.random() < 0.4:
        strides = dilation = (1, 1)
    h, w = [(k - 1) * d + int(rng.integers(1, 12)) for k, d in zip(kernel, dilation, strict=True)]
    image = (int(rng.choice([1, 1, 3])), h, w, int(rng.choice([1, 3, 5, 16, 17, 24, 64])) * groups)
    out = (channels or int(rng.choice([1, 3, 8, 12, 17, 20, 64, 130]))) * groups
    return conv2d(rng, image, out, kernel, strides, padding if rng.random() < 0.6 else (0, 0, 0, 0), dilation, groups, MODES[rng.integers(2)])


@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_random_shapes(cpu: tuple[str, str | None]) -> None:
    rng = random_generator()
    check([random_conv2d(rng) for _ in range(10)], contraction.stages, target_of(cpu))


@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_residuals(cpu: tuple[str, str | None]) -> None:
    """Sums in the epilogue, with channels that fill vectors; without, no instruction takes them."""
    rng = random_generator()
    cases = [random_conv2d(rng, int(rng.choice([16, 32, 80]))) for _ in range(8)]
    cases += [conv2d(rng, (2, 5, 7, 16), 48, (3, 3), padding=(1, 1, 1, 1), groups=3, mode=mode) for mode in MODES]
    if "avx512vnni" in target_of(cpu).features:  # requantizes vectors of any length
        cases += [random_conv2d(rng, int(rng.choice([8, 24, 40]))) for _ in range(4)]
    check([with_residual(rng, case) for case in cases], contraction.stages, target_of(cpu))
    odd, _ = with_residual(rng, conv2d(rng, (1, 5, 5, 8), 7))
    assert contraction.stages(odd, target_of(cpu), choose_default) is None


@pytest.mark.parametrize("cpu", CPUS[:2], ids=CPU_NAMES[:2])
def test_short_runs_of_wide_tiles(cpu: tuple[str, str | None]) -> None:
    """Kernel rows that LLVM would unroll whole are one loop: several numbers of turns, kernels of one row and of three."""
    rng = random_generator()
    cases = [conv2d(rng, (1, 8, 25, channels), 64, (rows, 3), (1, 2), (1, 1, 0, 2)) for channels in (1, 3, 5, 8) for rows in (1, 3)]
    check(list(cases), contraction.stages, target_of(cpu))


@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_extremes(cpu: tuple[str, str | None]) -> None:
    """Saturated weights and images, weights beyond int8, many channels, batches."""
    rng = random_generator()
    cases = [conv2d(rng, (1, 5, 6, 16), 8, (3, 3), padding=(1, 1, 1, 1), weights=(w, w), images=(x, x)) for w in (-128, -127, 127) for x in (-128, 127)]
    cases += [conv2d(rng, (1, 6, 7, 8), 12, (3, 3), weights=(-255, 255)), conv2d(rng, (1, 4, 4, 1), 1001, strides=(2, 2), mode="float"),
              conv2d(rng, (3, 4, 5, 1001), 9, mode="float"), conv2d(rng, (3, 9, 9, 6), 6, (3, 2), (1, 3), (1, 0, 1, 1), (2, 2), 3, weights=(-128, 127))]
    check(list(cases), contraction.stages, target_of(cpu))


@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_float_results(cpu: tuple[str, str | None]) -> None:
    """Integer accumulators that leave as float: one multiplication, the same on every CPU."""
    rng = random_generator()
    integer, inputs = conv2d(rng, (1, 7, 8, 5), 11, (3, 3))
    scale = rng.uniform(0, 1, 11).astype(np.float32)
    output = TensorType(integer.output.shape, "float32")
    operator = Conv2d(integer.inputs, output, integer.weight, integer.bias, ScaleToFloat(scale, 0.0), integer.input_zero_point)
    check([(operator, inputs)], contraction.stages, target_of(cpu))


@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_every_choice(cpu: tuple[str, str | None]) -> None:
    """Whatever tuning may choose is exact."""
    rng = random_generator()
    check([random_conv2d(rng) for _ in range(5)], contraction.stages, target_of(cpu), choose=any_choice(rng))


@pytest.mark.parametrize("cpu", CPUS[:2], ids=CPU_NAMES[:2])
def test_float(cpu: tuple[str, str | None]) -> None:
    rng = random_generator()
    cases = []
    for _ in range(6):
        integer, _ = random_conv2d(rng)
        weight, bias = rng.standard_normal(integer.weight.shape).astype(np.float32), rng.standard_normal(integer.bias.shape).astype(np.float32)
        source = TensorType(integer.inputs[0].shape, "float32")
        operator = Conv2d((source,), TensorType(integer.output.shape, "float32"), weight, bias, FloatClamp(-1.0, 6.0), 0, integer.strides, integer.padding,
                          integer.dilation, integer.groups)
        cases.append((operator, [rng.standard_normal(source.shape).astype(np.float32)]))
    check(list(cases), contraction.stages, target_of(cpu), tolerance=1e-5)


@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_smallest_weights(cpu: tuple[str, str | None]) -> None:
    """With --optimize size no layer's weights are larger than otherwise, and all are exact."""
    rng = random_generator()
    target = target_of(cpu)
    small = dataclasses.replace(target, optimize="size")
    cases = [conv2d(rng, (1, 9, 9, 5), out, (3, 3)) for out in (4, 8, 12, 20)] + [conv2d(rng, (1, 6, 6, 24), 10, weights=(-128, 127))]

    def bytes_of(which: Target) -> list[int]:
        stages = [contraction.stages(operator, which, choose_default) for operator, _ in cases]
        return [s[-1].constants[0].nbytes for s in stages if s is not None]

    assert all(least <= usual for least, usual in zip(bytes_of(small), bytes_of(target), strict=True))
    check(list(cases), contraction.stages, small)
