"""What a user can choose about quantization."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

ObserverName = Literal["min-max", "percentile", "mse", "entropy"]
Rounding = Literal["auto", "nearest", "adaptive"]
Weights = Literal["int8", "int4"]


@dataclass(frozen=True)
class QuantizeOptions:
    """observer: how the range of an activation follows from its values on the samples (nnc_tvm/quantize/observers/).
    weights: what the weights of convolutions and matrix products become; activations are int8.
    bias_correction: shift biases by the mean error that rounding the weights causes.
    rounding: of weights, each to its nearest step, or "adaptive": so that the layer's output on the samples stays close; takes minutes.
        "auto" is adaptive for int4, whose steps are large, and nearest for int8.
    equalize: cross-layer equalization of weights before anything is measured.
    smooth: SmoothQuant's strength for matrix products, in [0, 1]; None leaves it out. 0.5 is usual.
    keep_float: this many convolutions and matrix products, those that int8 hurts most, stay float.
    min_sqnr: decibels; all whose own signal to quantization noise is below stay float as well.
    """

    observer: ObserverName = "percentile"
    weights: Weights = "int8"
    bias_correction: bool = True
    rounding: Rounding = "auto"
    equalize: bool = False
    smooth: float | None = None
    keep_float: int = 0
    min_sqnr: float = -math.inf

    @property
    def adaptive(self) -> bool:
        """Whether weights are rounded adaptively."""
        return self.rounding == "adaptive" or (self.rounding == "auto" and self.weights == "int4")
