"""What every operator has in common. One operator per file; an instance holds everything a kernel computes from, but for its inputs."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from nnc_tvm.schedules.quantization import Epilogue


@dataclass(frozen=True)
class TensorType:
    """Shape and dtype of a tensor. Images are NHWC."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.elements * ITEM_BYTES[self.dtype]


ITEM_BYTES = {"int8": 1, "uint8": 1, "bool": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8, "uint64": 8, "float32": 4, "float64": 8}
"""The dtypes that tensors may have: those of C99."""


@dataclass(frozen=True, eq=False)
class Operator:
    """Base of the operators. Subclasses are frozen dataclasses whose docstring is the equation they compute."""

    inputs: tuple[TensorType, ...]
    output: TensorType

    @property
    def kind(self) -> str:
        """What the operator is called in reports and symbols: "depthwise_conv2d" for DepthwiseConv2d."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).lower()

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one call, dense; 0 where the term makes no sense."""
        return 0

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights and biases as the model holds them (not as packed)."""
        return 0


@dataclass(frozen=True, eq=False)
class WeightedSum(Operator):
    """What convolutions and dense layers share: y = epilogue(bias + sum of (x - z) * weight).

    Integer form: x int8, weight int16 within [-255, 255] with the weights' zero point already subtracted, bias int32.
    Float form: all float32 and z = 0. bias: (O,), one for each output channel.
    With the epilogue RescaleAtRunTime the last input is its parameters, float32 (2, rows), whose rows are leading extents of y; bias and z are 0.
    """

    weight: np.ndarray
    bias: np.ndarray
    epilogue: Epilogue
    input_zero_point: int = 0

    @property
    def weight_bytes(self) -> int:
        return self.weight.size * (4 if self.weight.dtype == np.float32 else 1) + 4 * self.bias.size
