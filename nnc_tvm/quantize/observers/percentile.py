"""All but the rarest values on either side."""

from __future__ import annotations

import numpy as np

from nnc_tvm.quantize.histogram import Histogram

OUTSIDE = 1e-5  # of all values, on each side


def choose(histogram: Histogram) -> tuple[float, float]:
    """(low, high) with all but OUTSIDE of the values above low and below high, to a bin."""
    share = np.cumsum(histogram.counts) / max(int(histogram.counts.sum()), 1)
    centers = histogram.centers
    ends = centers[[int(np.searchsorted(share, OUTSIDE)), min(int(np.searchsorted(share, 1 - OUTSIDE)), len(centers) - 1)]]
    low, high = np.clip(ends, histogram.low, histogram.high)
    return float(low), float(high)
