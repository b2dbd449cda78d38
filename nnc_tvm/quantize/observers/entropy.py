"""The range whose 256 levels lose the least information: the smallest Kullback-Leibler divergence from the distribution seen.

Source: Migacz, "8-bit Inference with TensorRT" (2017), for ranges that need not be symmetric.
"""

from __future__ import annotations

import numpy as np

from nnc_tvm.quantize.grid import activation_grid
from nnc_tvm.quantize.histogram import Histogram

FRACTIONS = np.linspace(1.0, 0.2, 41)
MERGED = 4  # bins of the histogram taken as one: the counts of finer ones are noise


def distribution(histogram: Histogram) -> tuple[np.ndarray, np.ndarray]:
    """(values, counts), float64, of the bins that hold any. Without the bin of 0, which every grid holds exactly: half of a ReLU's output is there."""
    counts = histogram.counts.astype(np.float64)
    counts[len(counts) // 2] = 0
    counts = counts.reshape(-1, MERGED).sum(1)
    used = np.flatnonzero(counts)
    return histogram.centers.reshape(-1, MERGED).mean(1)[used], counts[used]


def divergence(values: np.ndarray, counts: np.ndarray, low: float, high: float) -> float:
    """KL divergence in nats between the values clipped to [low, high] and the same spread evenly over the bins of their int8 level."""
    inside = (values >= low) & (values <= high)
    if not inside.any():
        return float("inf")
    scale, zero_point = activation_grid(low, high).scalar()
    level = (np.clip(np.rint(values[inside] / scale) + zero_point, -128, 127) + 128).astype(np.int64)
    reference = counts[inside].copy()
    reference[0] += counts[values < low].sum()
    reference[-1] += counts[values > high].sum()
    per_level = np.bincount(level, counts[inside], 256) / np.maximum(np.bincount(level, minlength=256), 1)
    p, q = reference / reference.sum(), per_level[level] / counts[inside].sum()
    return float(np.sum(p * np.log(p / q)))


def choose(histogram: Histogram) -> tuple[float, float]:
    """(low, high): both ends drawn in by the fraction that loses the least."""
    ranges = [(float(min(histogram.low, 0) * f), float(max(histogram.high, 0) * f)) for f in FRACTIONS]
    values, counts = distribution(histogram)
    return min(ranges, key=lambda r: divergence(values, counts, *r))
