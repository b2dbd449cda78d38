"""The range with the least mean squared error of rounding and clipping together.

Source: Nagel et al., "A White Paper on Neural Network Quantization" (2021), section 3.1.
"""

from __future__ import annotations

import numpy as np

from nnc_tvm.quantize.grid import activation_grid
from nnc_tvm.quantize.histogram import Histogram

FRACTIONS = np.linspace(1.0, 0.3, 36)
ROUNDS = 2


def squared_error(histogram: Histogram, low: float, high: float) -> float:
    """Sum over all values of the squared difference to what int8 on [low, high] makes of them."""
    used = np.flatnonzero(histogram.counts)
    values, counts = histogram.centers[used], histogram.counts[used]
    scale, zero_point = activation_grid(low, high).scalar()
    rounded = (np.clip(np.rint(values / scale) + zero_point, -128, 127) - zero_point) * scale
    return float(np.dot(counts, np.square(values - rounded)))


def choose(histogram: Histogram) -> tuple[float, float]:
    """(low, high): each end in turn is drawn in while the error shrinks."""
    low, high = histogram.low, histogram.high
    for _ in range(ROUNDS):
        low = min((float(histogram.low * f) for f in FRACTIONS), key=lambda x: squared_error(histogram, x, high)) if histogram.low < 0 else low
        high = min((float(histogram.high * f) for f in FRACTIONS), key=lambda x: squared_error(histogram, low, x)) if histogram.high > 0 else high
    return low, high
