"""Ranges from histograms."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from nnc_tvm.quantize.histogram import BINS, Histogram
from nnc_tvm.quantize.observers import OBSERVERS
from nnc_tvm.quantize.observers.mse import squared_error
from nnc_tvm.quantize.options import ObserverName

SEED = 3


def histogram(*parts: np.ndarray) -> Histogram:
    h = Histogram()
    for part in parts:
        h.update(part.astype(np.float32))
    return h


def test_one_pass_counts_as_numpy_does() -> None:
    """Values that grow from part to part make the bins wider; nothing is lost."""
    rng = np.random.default_rng(SEED)
    parts = [rng.standard_normal(1000) * 10.0**k for k in (-2, 0, 1, 3)]
    h = histogram(*parts)
    values = np.concatenate(parts).astype(np.float32)
    assert (h.low, h.high) == (values.min(), values.max())
    wanted, _ = np.histogram(values, BINS, (-h.reach, h.reach))
    assert h.counts.sum() == values.size and np.abs(np.cumsum(h.counts - wanted)).max() <= 2, f"seed {SEED}"


def test_every_name_has_an_observer() -> None:
    assert set(OBSERVERS) == set(get_args(ObserverName))


@pytest.mark.parametrize("name", OBSERVERS)
@pytest.mark.parametrize("values", [np.zeros(10), np.full(10, -3.0), np.array([1e-30, 2e-30]), np.linspace(0, 6, 5000), np.linspace(-1, 1, 999)], ids=str)
def test_ranges_lie_within_what_was_seen(name: ObserverName, values: np.ndarray) -> None:
    low, high = OBSERVERS[name](histogram(values))
    assert min(values.min(), 0) * 1.001 - 1e-30 <= low <= high <= max(values.max(), 0) * 1.001 + 1e-30


def test_one_outlier_among_many() -> None:
    """min-max takes it, the others leave it out."""
    rng = np.random.default_rng(SEED)
    h = histogram(rng.standard_normal(200_000), np.array([100.0]))
    ranges = {name: choose(h) for name, choose in OBSERVERS.items()}
    assert ranges["min-max"][1] == 100
    assert all(ranges[name][1] < 95 for name in ("percentile", "mse", "entropy")), f"seed {SEED}: {ranges}"
    assert squared_error(h, *ranges["mse"]) < squared_error(h, *ranges["min-max"])


def test_nan_is_noticed() -> None:
    assert not histogram(np.array([1.0, np.nan])).finite
