"""What is kept of an activation's values over all samples."""

from __future__ import annotations

import math

import numpy as np

BINS = 8192
BOUND = 2.0**100  # of magnitudes; sums and products of larger ones leave float32


class Histogram:
    """Counts of values in BINS equal bins over [-reach, reach), with the exact minimum and maximum.

    reach is a power of two that grows with the values: two neighbours become one bin then, so that one pass over the samples suffices.
    finite: no value was NaN, infinite or beyond BOUND.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(BINS, np.int64)
        self.reach = 0.0
        self.low, self.high = math.inf, -math.inf
        self.finite = True

    def update(self, values: np.ndarray) -> None:
        """Takes in an array of float32 values."""
        low, high = float(values.min()), float(values.max())
        if not max(-low, high) < BOUND:  # NaN is not
            self.finite = False
            return
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.grow(max(abs(low), abs(high)))
        index = ((values.reshape(-1) + np.float32(self.reach)) * np.float32(BINS / (2 * self.reach))).astype(np.int32)
        self.counts += np.bincount(np.clip(index, 0, BINS - 1), minlength=BINS)

    def grow(self, largest: float) -> None:
        needed = 2.0 ** (math.floor(math.log2(max(largest, 1e-30))) + 1)
        if self.reach == 0.0:
            self.reach = needed
        while self.reach < needed:
            pairs = self.counts.reshape(-1, 2).sum(1)
            self.counts = np.concatenate([np.zeros(BINS // 4, np.int64), pairs, np.zeros(BINS // 4, np.int64)])
            self.reach *= 2

    @property
    def centers(self) -> np.ndarray:
        """float64 (BINS,): the middle of each bin."""
        return (np.arange(BINS) + 0.5) * (2 * self.reach / BINS) - self.reach
