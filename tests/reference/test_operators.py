"""The oracle against loops over the equations in the operators' docstrings, and what no input may break."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nnc_tvm.reference import evaluate
from nnc_tvm.schedules.operators import (
    AveragePool2d,
    Broadcast,
    Conv2d,
    Dense,
    DepthwiseConv2d,
    FlipSign,
    LinearCombination,
    MaxPool2d,
    Mean,
    Multiply,
    Quantize,
    ResizeBilinear,
    TableSoftmax,
    TensorType,
    Transpose,
)
from nnc_tvm.schedules.operators.operator import Operator
from nnc_tvm.schedules.quantization import FloatClamp, Mode, ScaleToFloat

WORST: dict[Mode, float] = {"fixed": 0.76, "float": 0.51}  # steps: `fixed` rounds twice
EXACT = ScaleToFloat(np.ones(1, np.float32))  # shows the accumulator


@pytest.fixture(params=range(6))
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    print(f"seed {request.param}")
    return np.random.default_rng(request.param)


def integers(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.integers(-128, 128, shape).astype(np.int8)


def geometry(rng: np.random.Generator) -> tuple[dict[str, tuple[int, ...]], tuple[int, int], tuple[int, int]]:
    """(strides, dilation and padding; kernel; output extent) for an 11 x 9 image."""
    pair = lambda low, high: tuple(rng.integers(low, high, 2).tolist())  # noqa: E731
    kernel, strides, dilation, padding = pair(1, 5), pair(1, 4), pair(1, 3), tuple(rng.integers(0, 3, 4).tolist())
    extent = [(e + padding[i] + padding[i + 2] - (kernel[i] - 1) * dilation[i] - 1) // strides[i] + 1 for i, e in enumerate((11, 9))]
    return {"strides": strides, "dilation": dilation, "padding": padding}, kernel, (extent[0], extent[1])


def met(g: dict[str, tuple[int, ...]], position: int, tap: int, axis: int) -> int:
    return position * g["strides"][axis] + tap * g["dilation"][axis] - g["padding"][axis]


def contraction(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, zero_point: int, g: dict[str, tuple[int, ...]], extent: tuple[int, int]) -> np.ndarray:
    """weight: (O, KH, KW, C), by loops."""
    y = np.tile(bias.astype(np.int64), (x.shape[0], *extent, 1))
    for h, w, kh, kw in itertools.product(*map(range, (*extent, *weight.shape[1:3]))):
        row, column = met(g, h, kh, 0), met(g, w, kw, 1)
        if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
            y[:, h, w] += (x[:, row, column].astype(np.int64) - zero_point) @ weight[:, kh, kw].T.astype(np.int64)
    return y


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_conv2d(rng: np.random.Generator, groups: int) -> None:
    g, kernel, extent = geometry(rng)
    depth, width = 3, 4
    x, weight = integers(rng, (2, 11, 9, depth * groups)), rng.integers(-255, 256, (width * groups, *kernel, depth)).astype(np.int16)
    bias, z = rng.integers(-1000, 1000, width * groups).astype(np.int32), int(rng.integers(-128, 128))
    operator = Conv2d((TensorType(x.shape, "int8"),), TensorType((2, *extent, width * groups), "float32"), weight, bias, EXACT, z, groups=groups, **g)
    full = np.zeros((width * groups, *kernel, depth * groups), np.int64)
    for i in range(groups):
        full[i * width:(i + 1) * width, ..., i * depth:(i + 1) * depth] = weight[i * width:(i + 1) * width]
    np.testing.assert_array_equal(evaluate(operator, x), contraction(x, full, bias, z, g, extent))
    real = replace(operator, weight=weight.astype(np.float32), bias=bias.astype(np.float32), epilogue=FloatClamp(), input_zero_point=0)
    np.testing.assert_array_equal(evaluate(real, x.astype(np.float32)), contraction(x, full, bias, 0, g, extent))


@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise(rng: np.random.Generator, multiplier: int) -> None:
    g, kernel, extent = geometry(rng)
    x, outputs = integers(rng, (2, 11, 9, 5)), 5 * multiplier
    weight, bias = rng.integers(-255, 256, (*kernel, outputs)).astype(np.int16), rng.integers(-1000, 1000, outputs).astype(np.int32)
    z = int(rng.integers(-128, 128))
    operator = DepthwiseConv2d((TensorType(x.shape, "int8"),), TensorType((2, *extent, outputs), "float32"), weight, bias, EXACT, z, **g)
    full = np.zeros((outputs, *kernel, 5), np.int64)
    for o in range(outputs):
        full[o, ..., o // multiplier] = weight[..., o]
    np.testing.assert_array_equal(evaluate(operator, x), contraction(x, full, bias, z, g, extent))


def windows(x: np.ndarray, g: dict[str, tuple[int, ...]], kernel: tuple[int, int], h: int, w: int) -> np.ndarray:
    """The elements of one window inside the image: (count, N, C)."""
    places = [(met(g, h, kh, 0), met(g, w, kw, 1)) for kh, kw in itertools.product(*map(range, kernel))]
    return np.array([x[:, r, c] for r, c in places if 0 <= r < x.shape[1] and 0 <= c < x.shape[2]])


def test_pools(rng: np.random.Generator) -> None:
    g, kernel, extent = geometry(rng)
    g["dilation"] = (1, 1)
    g["padding"] = tuple(min(p, kernel[i % 2] - 1) for i, p in enumerate(g["padding"]))  # every window meets the image
    extent = tuple((e + g["padding"][i] + g["padding"][i + 2] - kernel[i]) // g["strides"][i] + 1 for i, e in enumerate((11, 9)))  # type: ignore[assignment]
    x, z = integers(rng, (2, 11, 9, 5)), int(rng.integers(-128, 128))
    types = (TensorType(x.shape, "int8"),), TensorType((2, *extent, 5), "int8")
    maximum = evaluate(MaxPool2d(*types, kernel, g["strides"], g["padding"], low=-20), x)
    means = {include: evaluate(AveragePool2d(*types, kernel, g["strides"], g["padding"], include, z, None), x) for include in (False, True)}
    floats = (TensorType(x.shape, "float32"),), TensorType((2, *extent, 5), "float32")
    real = evaluate(AveragePool2d(*floats, kernel, g["strides"], g["padding"], False, 0, FloatClamp()), x.astype(np.float32))
    for h, w in itertools.product(*map(range, extent)):
        values = windows(x.astype(np.int64), g, kernel, h, w)
        np.testing.assert_array_equal(maximum[:, h, w], np.maximum(values.max(axis=0), -20))
        np.testing.assert_allclose(real[:, h, w], values.mean(axis=0), rtol=1e-6, atol=1e-6)
        for include, count in ((False, len(values)), (True, math.prod(kernel))):
            mean = (values - z).sum(axis=0) / count
            np.testing.assert_array_equal(means[include][:, h, w], np.clip(np.trunc(mean + np.copysign(0.5, mean)) + z, -128, 127))


@pytest.mark.parametrize("mode", ["fixed", "float"])
@pytest.mark.parametrize("sign", [1, -1])
def test_elementwise_is_within_a_step_of_the_reals(rng: np.random.Generator, mode: Mode, sign: int) -> None:
    a, b = integers(rng, (4, 1, 7)), integers(rng, (5, 7))
    types = (TensorType(a.shape, "int8"), TensorType(b.shape, "int8")), TensorType((4, 5, 7), "int8")
    (sa, za), (sb, zb), (so, zo) = q = tuple((float(np.float32(s)), int(z)) for s, z in zip(rng.uniform(0.01, 0.1, 3), rng.integers(-128, 128, 3), strict=True))
    real_a, real_b = (a.astype(float) - za) * sa, (b.astype(float) - zb) * sb
    operators: list[tuple[Operator, np.ndarray]] = [(LinearCombination.build(mode, *types, q, sign), real_a + sign * real_b),
                                                    (Multiply.build(mode, *types, q), real_a * real_b)]
    for operator, real in operators:
        assert np.abs(evaluate(operator, a, b) - np.clip(real / so + zo, -128, 127)).max() <= WORST[mode]


@pytest.mark.parametrize("mode", ["fixed", "float"])
def test_mean_pool_and_resize_across_scales(rng: np.random.Generator, mode: Mode) -> None:
    x, q = integers(rng, (2, 6, 8, 3)), ((0.05, 3), (0.04, -9))
    real = (x.astype(float) - 3) * np.float32(0.05)
    source = TensorType(x.shape, "int8")
    mean = Mean.build(mode, source, TensorType((2, 3), "int8"), (1, 2), q)
    pool = AveragePool2d.build(mode, source, TensorType((2, 3, 4, 3), "int8"), (2, 2), (2, 2), (0, 0, 0, 0), False, q)
    resize = ResizeBilinear.build(mode, source, TensorType((2, 12, 16, 3), "int8"), "asymmetric", q)
    pooled = real.reshape(2, 3, 2, 4, 2, 3).mean(axis=(2, 4))
    middle = (real[:, :, :-1] + real[:, :, 1:]) / 2
    cases: list[tuple[Operator, np.ndarray, Any]] = [(mean, real.mean(axis=(1, 2)), ...), (pool, pooled, ...), (resize, real, np.s_[:, ::2, ::2]),
                                                     (resize, middle, np.s_[:, ::2, 1:-1:2])]
    for operator, expected, part in cases:
        steps = np.clip(expected / np.float32(0.04) - 9, -128, 127)
        assert np.abs(evaluate(operator, x)[part] - steps).max() <= WORST[mode]


def test_dense_in_float(rng: np.random.Generator) -> None:
    x, weight, bias = (rng.normal(size=s).astype(np.float32) for s in ((3, 20), (7, 20), (7,)))
    operator = Dense((TensorType(x.shape, "float32"),), TensorType((3, 7), "float32"), weight, bias, FloatClamp(0.0))
    np.testing.assert_allclose(evaluate(operator, x), np.maximum(x @ weight.T + bias, 0), rtol=1e-5, atol=1e-5)


def test_table_softmax(rng: np.random.Generator) -> None:
    for width in (2, 10, 256, 1001, 5000):
        x, scale = integers(rng, (3, width)), float(np.exp(rng.uniform(-6, 0)))
        x[0] = 127  # the largest sum
        y = evaluate(TableSoftmax.build(TensorType(x.shape, "int8"), TensorType(x.shape, "int8"), scale, (1 / 256, -128)), x)
        e = np.exp((x.astype(float) - x.max(axis=1, keepdims=True)) * scale)
        assert np.abs(y - np.clip(e / e.sum(axis=1, keepdims=True) * 256 - 128, -128, 127)).max() <= 0.51


def test_quantize_of_anything() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 0.0, -0.0, 0.5, 1.5, 2.5, -0.5], np.float32)
    types = (TensorType(x.shape, "float32"),), TensorType(x.shape, "int8")
    np.testing.assert_array_equal(evaluate(Quantize(*types, 1.0, 5), x), [5, 127, -128, 127, -128, 5, 5, 5, 7, 7, 5])
    np.testing.assert_array_equal(evaluate(Quantize(*types, 1.0, 5, half_away=True), x), [5, 127, -128, 127, -128, 5, 5, 6, 7, 8, 4])


def test_movement() -> None:
    x = np.arange(256, dtype=np.uint8).reshape(16, 16)
    flip = FlipSign((TensorType(x.shape, "uint8"),), TensorType(x.shape, "int8"))
    np.testing.assert_array_equal(evaluate(flip, x), x.astype(int) - 128)
    back = FlipSign((TensorType(x.shape, "int8"),), TensorType(x.shape, "uint8"))
    np.testing.assert_array_equal(evaluate(back, evaluate(flip, x)), x)
    cube = x.astype(np.int8).reshape(4, 8, 8)
    turn = Transpose((TensorType(cube.shape, "int8"),), TensorType((8, 4, 8), "int8"), (2, 0, 1))
    np.testing.assert_array_equal(evaluate(turn, cube), np.einsum("ijk->kij", cube))
    spread = Broadcast((TensorType((4, 1), "int8"),), TensorType((3, 4, 5), "int8"))
    np.testing.assert_array_equal(evaluate(spread, cube[:, :1, 0]), np.broadcast_to(cube[:, :1, 0], (3, 4, 5)))


def test_windows_that_leave_the_image_are_an_error() -> None:
    operator = MaxPool2d((TensorType((1, 4, 4, 1), "int8"),), TensorType((1, 3, 3, 1), "int8"), (2, 2), (2, 2), (0, 0, 0, 0))
    with pytest.raises(ValueError, match="windows cover 6 elements of axis 1"):
        evaluate(operator, np.zeros((1, 4, 4, 1), np.int8))
