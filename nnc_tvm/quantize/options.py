"""What a user can choose about quantization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ObserverName = Literal["min-max", "percentile", "mse", "entropy"]


@dataclass(frozen=True)
class QuantizeOptions:
    """observer: how the range of an activation follows from its values on the samples (nnc_tvm/quantize/observers/).
    bias_correction: shift biases by the mean error that rounding the weights causes.
    """

    observer: ObserverName = "percentile"
    bias_correction: bool = True
