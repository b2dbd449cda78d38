"""Dense (fully connected) layers: a matrix of activations times a constant matrix."""

from __future__ import annotations

from dataclasses import dataclass

from nnc_tvm.schedules.operators.operator import WeightedSum


@dataclass(frozen=True, eq=False)
class Dense(WeightedSum):
    """y[m,o] = epilogue(bias[o] + sum over k of (x[m,k] - z) * weight[o,k])

    Integer and float forms as in WeightedSum.

    inputs: (x (M, K),); output (M, O); weight: (O, K); bias: (O,)
    """

    @property
    def macs(self) -> int:
        return self.output.elements * self.weight.shape[1]
