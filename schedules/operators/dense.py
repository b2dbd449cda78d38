"""Dense (fully connected) layers: a matrix of activations times a constant matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nnc_tvm.schedules.operators.operator import Operator
from nnc_tvm.schedules.quantization import Epilogue


@dataclass(frozen=True, eq=False)
class Dense(Operator):
    """y[m,o] = epilogue(bias[o] + sum over k of (x[m,k] - z) * weight[o,k])

    Integer form: x int8, weight int16 within [-255, 255] with the weights' zero point already subtracted, bias int32.
    Float form: all float32 and z = 0.

    inputs: (x (M, K),); output (M, O); weight: (O, K); bias: (O,)
    """

    weight: np.ndarray
    bias: np.ndarray
    epilogue: Epilogue
    input_zero_point: int = 0

    @property
    def macs(self) -> int:
        return self.output.elements * self.weight.shape[1]

    @property
    def weight_bytes(self) -> int:
        return self.weight.size * (4 if self.weight.dtype == np.float32 else 1) + 4 * self.bias.size
