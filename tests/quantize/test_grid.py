"""Scales and zero points."""

from __future__ import annotations

import numpy as np
import pytest

from nnc_tvm.quantize.grid import LARGEST_BIAS, activation_grid, weight_integers, weight_scales


@pytest.mark.parametrize(("low", "high"), [(-1.0, 3.0), (0.0, 6.0), (2.0, 5.0), (-4.0, -1.0), (-1e-30, 1e-30), (-3e38, 1.0)])
def test_zero_is_on_the_grid_and_the_range_within(low: float, high: float) -> None:
    scale, zero_point = activation_grid(low, high).scalar()
    assert -128 <= zero_point <= 127 and scale > 0
    assert (127 - zero_point) * scale >= high - scale and (-128 - zero_point) * scale <= low + scale


def test_nothing_but_zero() -> None:
    assert activation_grid(0.0, 0.0).scalar() == (1 / 128, -128)


def test_weights_are_symmetric_per_channel() -> None:
    weight = np.array([[1.0, -2.54], [0.5, 0.25], [0.0, 0.0]], np.float32)
    scale = weight_scales(weight, 0, np.zeros(3), 1.0)
    np.testing.assert_allclose(scale, [2.54 / 127, 0.5 / 127, 1.0], rtol=1e-6)
    np.testing.assert_array_equal(weight_integers(weight, 0, scale), [[50, -127], [127, 64], [0, 0]])


def test_a_large_bias_on_small_weights_fits_int32() -> None:
    weight, bias = np.full((2, 3), 1e-12, np.float32), np.array([5.0, 0.0])
    scale = weight_scales(weight, 0, bias, 0.01)
    assert np.abs(bias / (0.01 * scale.astype(np.float64))).max() <= LARGEST_BIAS * 1.001
    assert weight_integers(weight, 0, scale)[1].tolist() == [127] * 3
