"""Scales and zero points."""

from __future__ import annotations

import numpy as np
import pytest

from nnc_tvm.quantize.grid import LARGEST_BIAS, activation_grid, clipped_scales, weight_integers, weight_scales


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


def test_clipping_outliers_loses_less() -> None:
    """A channel of alike weights keeps its range; one with a single outlier gives it up."""
    rng = np.random.default_rng(7)
    weight = np.stack([np.tile([-7.0, -3.0, 0.0, 2.0, 7.0], 40), np.append(rng.standard_normal(199), 7.0)]).astype(np.float32)
    full = weight_scales(weight, 0, np.zeros(2), 1.0, 7)
    scale = clipped_scales(weight, 0, full, 7)
    assert scale[0] == full[0] and scale[1] < full[1]

    def loss(s: np.ndarray) -> np.ndarray:
        return np.asarray(np.square(weight_integers(weight, 0, s, 7) * s[:, None] - weight).sum(1))

    assert loss(scale)[1] < loss(full)[1]
    assert np.abs(weight_integers(weight, 0, scale, 7)).max() == 7
