"""The rounding steps against exact rational arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from nnc_tvm.reference.rounding import apply_epilogue
from nnc_tvm.schedules.fixed_point import (
    divide_half_away,
    high_multiply,
    multiply_by_quantized,
    multiply_by_quantized_once,
    require_int32,
    rounding_shift,
)
from nnc_tvm.schedules.quantization import (
    FixedRequantize,
    FloatClamp,
    FloatRequantize,
    Mode,
    ScaleToFloat,
    make_requantize,
    quantize_multiplier,
    quantized_bounds,
)

INT32 = (-(1 << 31), (1 << 31) - 1)


@pytest.fixture(params=range(3))
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    print(f"seed {request.param}")
    return np.random.default_rng(request.param)


def int32s(rng: np.random.Generator, count: int) -> np.ndarray:
    """Values of every magnitude, and the extremes."""
    wide = rng.integers(*INT32, count, endpoint=True) >> rng.integers(0, 31, count)
    return np.concatenate([wide, [0, 1, -1, *INT32]])


def half_up(value: Fraction) -> int:
    return math.floor(value + Fraction(1, 2))


def half_away(value: Fraction) -> int:
    return int(math.copysign(1, value)) * half_up(abs(value))


def test_high_multiply(rng: np.random.Generator) -> None:
    a, b = int32s(rng, 300), int32s(rng, 300)
    expected = [min(half_up(Fraction(int(x) * int(y), 1 << 31)), INT32[1]) for x, y in zip(a, b, strict=True)]
    np.testing.assert_array_equal(high_multiply(a, b), expected)
    assert high_multiply(np.array([INT32[0]]), INT32[0])[0] == INT32[1]


def test_rounding_shift(rng: np.random.Generator) -> None:
    value = int32s(rng, 300)
    exponent = rng.integers(0, 32, value.size)
    np.testing.assert_array_equal(rounding_shift(value, exponent), [half_away(Fraction(int(v), 1 << int(e))) for v, e in zip(value, exponent, strict=True)])


def test_divide_half_away(rng: np.random.Generator) -> None:
    value, count = int32s(rng, 300), rng.integers(1, 100, 305)
    np.testing.assert_array_equal(divide_half_away(value, count), [half_away(Fraction(int(v), int(c))) for v, c in zip(value, count, strict=True)])


def test_multiply_by_quantized(rng: np.random.Generator) -> None:
    acc = rng.integers(-(1 << 24), 1 << 24, 300)
    multiplier, shift = rng.integers(1 << 30, 1 << 31, 300), rng.integers(-31, 7, 300)
    exact = [Fraction(int(a) * int(m)) * Fraction(2) ** int(s - 31) for a, m, s in zip(acc, multiplier, shift, strict=True)]
    np.testing.assert_array_equal(multiply_by_quantized_once(acc, multiplier, shift), [half_away(v) for v in exact])
    # two roundings are off by at most 1/2 + 1/4
    assert all(abs(int(y) - v) <= Fraction(3, 4) + Fraction(1, 1 << 20) for y, v in zip(multiply_by_quantized(acc, multiplier, shift), exact, strict=True))


def test_a_left_shift_out_of_int32_is_an_error() -> None:
    with pytest.raises(OverflowError, match="int32"):
        multiply_by_quantized(np.array([1 << 28]), 1 << 30, 4)
    with pytest.raises(OverflowError, match=str(1 << 31)):
        require_int32(np.array([1 << 31]))


@pytest.mark.parametrize(("real", "expected"), [
    (0.0, (0, 0)), (1.0, (1 << 30, 1)), (0.5, (1 << 30, 0)), (0.75, (3 << 29, 0)), (2.0**-32, (1 << 30, -31)), (2.0**-33, (0, 0)), (2.0**-40, (0, 0)),
    (1 - 2.0**-40, (1 << 30, 1)),  # the fraction rounds up to 1
    (2.0**31, (INT32[1], 30)),
])
def test_quantize_multiplier_edges(real: float, expected: tuple[int, int]) -> None:
    assert quantize_multiplier(real) == expected


def test_quantize_multiplier_is_close(rng: np.random.Generator) -> None:
    for real in np.exp2(rng.uniform(-31, 29, 500)):
        multiplier, shift = quantize_multiplier(float(real))
        assert 1 << 30 <= multiplier < 1 << 31
        assert abs(Fraction(multiplier) * Fraction(2) ** (shift - 31) - Fraction(real)) <= Fraction(real) / (1 << 31)


@pytest.mark.parametrize("zero_point", [-128, -3, 0, 127])
def test_float_requantize(rng: np.random.Generator, zero_point: int) -> None:
    acc = np.concatenate([int32s(rng, 300), np.arange(-300, 300)])
    for scale in np.asarray([*np.exp2(rng.uniform(-24, 0, 6)), 0.5, 0.25, 2.0], np.float32):
        # the product of two float32 fits in a float64
        product = (acc.astype(np.float32).astype(np.float64) * float(scale)).astype(np.float32)
        expected = [min(max(round(Fraction(float(p))) + zero_point, -120), 100) for p in product]
        np.testing.assert_array_equal(apply_epilogue(FloatRequantize(np.array([scale]), zero_point, -120, 100), acc[:, None])[:, 0], expected)


@pytest.mark.parametrize("mode", ["fixed", "float"])
@pytest.mark.parametrize("bounds", [(-128, 127), (-5, 77)])
def test_requantize_saturates_and_is_monotonic(mode: Mode, bounds: tuple[int, int]) -> None:
    acc = np.linspace(*INT32, 10001).astype(np.int64)[:, None]
    y = apply_epilogue(make_requantize(mode, 0.001, -7, *bounds), acc)[:, 0].astype(int)
    assert (y[0], y[-1]) == bounds and np.all(np.diff(y) >= 0)


def test_channels_have_their_own_scales() -> None:
    acc = np.full((2, 3), 100)
    modes: tuple[Mode, ...] = ("fixed", "float")
    for mode in modes:
        np.testing.assert_array_equal(apply_epilogue(make_requantize(mode, np.array([0.1, 0.5, 1.0]), 1), acc), [[11, 51, 101]] * 2)
    np.testing.assert_array_equal(apply_epilogue(ScaleToFloat(np.array([0.5, 1, 2], np.float32), high=120.0), acc), [[50, 100, 120]] * 2)
    np.testing.assert_array_equal(apply_epilogue(FloatClamp(0.0, 6.0), np.array([-1.0, 3.5, 7.0])), [0, 3.5, 6])


def test_halves_go_away_from_zero_when_fixed_and_to_even_when_float() -> None:
    acc = np.array([[-3], [-1], [1], [3], [5]])
    np.testing.assert_array_equal(apply_epilogue(make_requantize("float", 0.5, 0), acc)[:, 0], [-2, 0, 0, 2, 2])
    twice = make_requantize("fixed", 0.5, 0)
    assert isinstance(twice, FixedRequantize)
    np.testing.assert_array_equal(apply_epilogue(twice, acc)[:, 0], [-1, 0, 1, 2, 3])  # the high multiply rounds halves up
    once = FixedRequantize(twice.multiplier, twice.shift, 0, single_rounding=True)
    np.testing.assert_array_equal(apply_epilogue(once, acc)[:, 0], [-2, -1, 1, 2, 3])


@pytest.mark.parametrize(("reals", "expected"), [
    ((-math.inf, math.inf), (-128, 127)), ((0.0, 6.0), (-20, 40)), ((0.0, 100.0), (-20, 127)), ((-1.0, 1.0), (-30, -10)), ((0.05, 0.25), (-19, -17)),
])
def test_quantized_bounds(reals: tuple[float, float], expected: tuple[int, int]) -> None:
    assert quantized_bounds(*reals, 0.1, -20) == expected
