"""Products of factors against the factors one by one, in the reference."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from nnc_tvm.reference import evaluate
from nnc_tvm.relay_passes.factors import Product, product
from nnc_tvm.schedules.operators import Conv2d, Dense, DepthwiseConv2d, TensorType
from nnc_tvm.schedules.operators.operator import WeightedSum
from nnc_tvm.schedules.quantization import FloatClamp, FloatRequantize, Mode, make_requantize
from tests.kernels.cases import random_generator

Padding = tuple[int, int, int, int]
NONE: Padding = (0, 0, 0, 0)


def conv(rng: np.random.Generator, source: TensorType, out: int, kernel: tuple[int, int], strides: tuple[int, int] = (1, 1), padding: Padding = NONE,
         dilation: tuple[int, int] = (1, 1), bias: bool = True) -> Conv2d:
    """A float convolution with random weights."""
    n, h, w, c = source.shape
    oh, ow = ((size + padding[k] + padding[k + 2] - (kernel[k] - 1) * dilation[k] - 1) // strides[k] + 1 for k, size in enumerate((h, w)))
    weight = rng.standard_normal((out, *kernel, c)).astype(np.float32)
    return Conv2d((source,), TensorType((n, oh, ow, out), "float32"), weight, (bias * rng.standard_normal(out)).astype(np.float32), FloatClamp(), 0, strides,
                  padding, dilation)


def depthwise(rng: np.random.Generator, source: TensorType, multiplier: int, kernel: tuple[int, int], padding: Padding = NONE) -> DepthwiseConv2d:
    n, h, w, c = source.shape
    oh, ow = (size + padding[k] + padding[k + 2] - kernel[k] + 1 for k, size in enumerate((h, w)))
    weight = rng.standard_normal((*kernel, c * multiplier)).astype(np.float32)
    return DepthwiseConv2d((source,), TensorType((n, oh, ow, c * multiplier), "float32"), weight, np.zeros(c * multiplier, np.float32), FloatClamp(), 0, (1, 1),
                           padding)


def grouped(rng: np.random.Generator, source: TensorType, out: int, kernel: tuple[int, int], groups: int) -> Conv2d:
    full = conv(rng, source, out, kernel)
    return dataclasses.replace(full, weight=np.ascontiguousarray(full.weight[..., : source.shape[3] // groups]), groups=groups)


def dense(rng: np.random.Generator, source: TensorType, out: int) -> Dense:
    weight = rng.standard_normal((out, source.shape[1])).astype(np.float32)
    return Dense((source,), TensorType((source.shape[0], out), "float32"), weight, rng.standard_normal(out).astype(np.float32), FloatClamp())


def quantized(rng: np.random.Generator, factors: Sequence[WeightedSum], mode: Mode) -> list[WeightedSum]:
    """The same shapes with random int8 weights, and requantizations that saturate nothing."""
    zero, made = int(rng.integers(-20, 20)), []
    for f in factors:
        weight = rng.integers(-127, 128, f.weight.shape).astype(np.int16)
        bias = (rng.integers(-3000, 3000, f.bias.shape) * (f.bias != 0)).astype(np.int32)
        scale = rng.uniform(0.5, 1.0, bias.size) / (300 * (weight.size / bias.size) ** 0.5)
        types = [TensorType(t.shape, "int8") for t in (*f.inputs, f.output)]
        zero, source = int(rng.integers(-20, 20)), zero
        made.append(dataclasses.replace(f, inputs=(types[0],), output=types[-1], weight=weight, bias=bias, epilogue=make_requantize(mode, scale, zero),
                                        input_zero_point=source))
    return made


def selecting(factor: WeightedSum, rng: np.random.Generator, mode: Mode) -> WeightedSum:
    """`factor` that passes some of its input on: nothing is lost in its requantization by 1."""
    weight, channels = np.zeros_like(factor.weight), factor.bias.size
    rows = weight.reshape(-1, channels).T if isinstance(factor, DepthwiseConv2d) else weight.reshape(channels, -1)
    rows[np.arange(channels), rng.integers(rows.shape[1], size=channels)] = 1
    return dataclasses.replace(factor, weight=weight, bias=np.zeros_like(factor.bias), epilogue=make_requantize(mode, 1.0, factor.input_zero_point))


def random_factors(rng: np.random.Generator) -> list[WeightedSum]:
    """Pairs and Tucker-2 chains of every kind that has a product, of odd sizes, strides, dilation and borders."""
    kind = int(rng.integers(8))
    channels, rank, out = (int(v) for v in rng.integers(1, 9, 3))
    if kind == 0:
        first: WeightedSum = dense(rng, TensorType((int(rng.integers(1, 4)), channels), "float32"), rank)
        return [first, dense(rng, first.output, out)]
    source = TensorType((int(rng.integers(1, 3)), int(rng.integers(9, 14)), int(rng.integers(9, 14)), channels), "float32")
    strides, dilation = [(int(a), int(b)) for a, b in rng.integers(1, 3, (2, 2))]
    padding: Padding = tuple(int(v) for v in rng.integers(0, 3, 4))  # type: ignore[assignment]
    again = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
    if kind == 1:  # 1x1 after kxk
        first = conv(rng, source, rank, (3, 2), strides, padding, dilation)
        return [first, conv(rng, first.output, out, (1, 1), again)]
    if kind == 2:  # kxk after 1x1, with a border where the 1x1 has no bias
        bordered = bool(rng.integers(2))
        first = conv(rng, source, rank, (1, 1), again, bias=not bordered)
        return [first, conv(rng, first.output, out, (2, 3), strides, padding if bordered else NONE, dilation)]
    if kind == 3:  # kx1 after 1xk, each with the border of its axis
        top, left, bottom, right = padding
        first = conv(rng, source, rank, (1, 3), (1, strides[1]), (0, left, 0, right), (1, dilation[1]), bias=False)
        return [first, conv(rng, first.output, out, (3, 1), (strides[0], 1), (top, 0, bottom, 0), (dilation[0], 1))]
    if kind == 4:  # separable, or one channel's factors of a CP decomposition
        top, left, bottom, right = padding
        first = depthwise(rng, source, int(rng.integers(1, 3)), (3, 1), (top, 0, bottom, 0))
        behind = depthwise(rng, first.output, int(rng.integers(1, 3)), (1, 2), (0, left, 0, right))
        return [first, behind, conv(rng, behind.output, out, (1, 1))][: int(rng.integers(2, 4))]
    if kind == 5:  # depthwise after and before 1x1
        first = conv(rng, source, rank, (1, 1), bias=False)
        return [first, depthwise(rng, first.output, 2, (3, 3), padding)]
    if kind == 6:  # groups of groups
        source = TensorType((*source.shape[:3], 12), "float32")
        a, b = [(6, 3), (2, 4), (4, 4), (3, 12)][rng.integers(4)]
        first = grouped(rng, source, 12, (2, 3), a)
        return [first, grouped(rng, first.output, 24, (1, 1), b)]
    first = conv(rng, source, rank, (1, 1), bias=False)  # Tucker-2
    core = conv(rng, first.output, rank, (3, 3), strides, padding, dilation)
    return [first, core, conv(rng, core.output, out, (1, 1))]


def results(factors: Sequence[WeightedSum], made: Product, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(of the factors one by one, of their product) on one random input."""
    source = factors[0].inputs[0]
    x = rng.standard_normal(source.shape).astype(np.float32) if source.dtype == "float32" else rng.integers(-128, 128, source.shape).astype(np.int8)
    want = x
    for factor in factors:
        want = evaluate(factor, want)
    assert made.layer.inputs == factors[0].inputs and made.layer.output == factors[-1].output
    return want, evaluate(made.layer, x)


def test_floats_are_equal_but_for_rounding() -> None:
    rng = random_generator()
    for _ in range(60):
        factors = random_factors(rng)
        made = product(factors, rounded=False)
        assert made is not None and not made.exact
        want, got = results(factors, made, rng)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * np.abs(want).max(initial=1.0))


@pytest.mark.parametrize("mode", ["float", "fixed"])
def test_integers_that_lose_nothing_are_equal(mode: Mode) -> None:
    """Where all factors but the last pass elements on, their product computes the last one's integers."""
    rng = random_generator()
    for _ in range(40):
        *passing, last = quantized(rng, random_factors(rng), mode)
        zero = passing[0].input_zero_point
        small = dataclasses.replace(last, weight=last.weight // 64, input_zero_point=zero)  # those of one input are added up
        factors = [*(selecting(dataclasses.replace(f, input_zero_point=zero), rng, mode) for f in passing), small]
        made = product(factors, rounded=False)
        assert made is not None and made.exact
        want, got = results(factors, made, rng)
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("mode", ["float", "fixed"])
def test_other_integers_differ_by_little_and_only_when_asked(mode: Mode) -> None:
    """Of a pair's, whose steps between are about as large as those behind."""
    rng = random_generator()
    for _ in range(40):
        factors = quantized(rng, random_factors(rng), mode)
        assert product(factors, rounded=False) is None
        made = product(factors, rounded=True)
        assert made is not None and not made.exact
        want, got = results(factors, made, rng)
        assert np.abs(want.astype(int) - got.astype(int)).max() <= 4


def test_integers_that_saturate_between_are_not_exact() -> None:
    rng = np.random.default_rng(1)
    first, last = quantized(rng, [a := dense(rng, TensorType((1, 4), "float32"), 4), dense(rng, a.output, 4)], "float")
    twice = dataclasses.replace(first, weight=2 * np.eye(4, dtype=np.int16), bias=np.zeros(4, np.int32),
                                epilogue=FloatRequantize(np.ones(1, np.float32), last.input_zero_point))
    assert product([twice, last], rounded=False) is None


def test_what_has_no_product() -> None:
    """An activation, a border of what the first one's bias makes there, two wide kernels."""
    rng = np.random.default_rng(2)
    source = TensorType((1, 9, 9, 4), "float32")
    first = conv(rng, source, 4, (1, 1))
    wide = conv(rng, source, 4, (3, 3))
    relu = dataclasses.replace(first, epilogue=FloatClamp(0.0))
    after = conv(rng, first.output, 4, (1, 1))
    assert product([first, after], rounded=True) is not None
    assert product([relu, after], rounded=True) is None
    assert product([first, conv(rng, first.output, 4, (3, 3), padding=(1, 1, 1, 1))], rounded=True) is None
    assert product([wide, conv(rng, wide.output, 4, (3, 3))], rounded=True) is None
