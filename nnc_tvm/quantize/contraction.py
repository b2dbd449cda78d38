"""What convolutions and matrix products have in common: weights, and which of their axes are channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from tvm import relax

from nnc_tvm.relay_passes.graph import call_with, constant, operator_name

Expr = Any
CONTRACTIONS = frozenset({"relax.nn.conv2d", "relax.matmul"})


@dataclass(frozen=True, eq=False)
class Contraction:
    """A convolution or matrix product by constant float weights.

    weight: float32. out_axis, in_axis: its axes of output channels, and of the input channels of one group.
    output_axis, input_axis: the channels' axes in the result and in the input. groups: of channels.
    """

    call: Expr
    weight: np.ndarray
    out_axis: int
    in_axis: int
    output_axis: int
    input_axis: int
    groups: int

    @property
    def channels(self) -> int:
        """Output channels."""
        return int(self.weight.shape[self.out_axis])

    @property
    def depth(self) -> int:
        """Products that are summed for one output."""
        return self.weight.size // self.channels

    def along_outputs(self, values: np.ndarray) -> np.ndarray:
        """(channels,) as a factor of the weights."""
        return values.reshape([-1 if axis == self.out_axis else 1 for axis in range(self.weight.ndim)])

    def by_inputs(self, weight: np.ndarray) -> np.ndarray:
        """Weights as (groups, inputs of a group, outputs of a group, rest)."""
        moved = np.moveaxis(weight, (self.out_axis, self.in_axis), (0, 1))
        return moved.reshape(self.groups, self.channels // self.groups, moved.shape[1], -1).swapaxes(1, 2)

    def input_ranges(self, weight: np.ndarray) -> np.ndarray:
        """(input channels,): the largest magnitude of the weights that each is multiplied by."""
        return np.abs(self.by_inputs(weight)).max((2, 3)).reshape(-1)

    def output_ranges(self, weight: np.ndarray) -> np.ndarray:
        """(channels,): the largest magnitude of the weights of each."""
        return np.abs(np.moveaxis(weight, self.out_axis, 0)).reshape(self.channels, -1).max(1)

    def along_inputs(self, values: np.ndarray) -> np.ndarray:
        """(input channels,) as a factor of the weights."""
        of_group = values.reshape(self.groups, 1, -1)
        matrix = np.broadcast_to(of_group, (self.groups, self.channels // self.groups, of_group.shape[2])).reshape(self.channels, -1)
        shape = [1] * self.weight.ndim
        shape[self.out_axis], shape[self.in_axis] = matrix.shape
        return (matrix if self.out_axis < self.in_axis else matrix.T).reshape(shape)

    def with_weight(self, weight: Expr) -> Expr:
        """The same operator with other weights."""
        return call_with(self.call, [self.call.args[0], weight])

    def channel_vector(self, value: np.ndarray) -> np.ndarray | None:
        """A constant that is added to or multiplied with the result, as (channels,) float64; None where it is not one value per channel."""
        rank = len(self.call.args[0].ty.shape)
        full = value.reshape((1,) * (rank - value.ndim) + value.shape) if value.ndim <= rank else value
        if value.size == 1:
            return np.full(self.channels, float(value.reshape(-1)[0]))
        if full.ndim != rank or full.size != self.channels or full.shape[self.output_axis] != self.channels:
            return None
        return full.reshape(-1).astype(np.float64)

    def broadcast(self, vector: np.ndarray) -> Expr:
        """(channels,) as a constant operand next to the result."""
        rank = len(self.call.args[0].ty.shape)
        return relax.const(vector.astype(np.float32).reshape([-1 if axis == self.output_axis else 1 for axis in range(rank)]))


def contraction_of(call: Expr) -> Contraction | None:
    """The contraction that a call is; None for other calls and for weights that are not a float constant."""
    name = operator_name(call)
    if name not in CONTRACTIONS:
        return None
    weight = constant(call.args[1])
    if weight is None or weight.dtype != np.float32 or not isinstance(call.args[0], tvm.ir.Var):
        return None
    if name == "relax.matmul":
        rank = len(call.args[0].ty.shape)
        return Contraction(call, weight, 1, 0, rank - 1, rank - 1, 1) if weight.ndim == 2 and rank >= 2 else None
    kernel, data = str(call.attrs.kernel_layout), str(call.attrs.data_layout)
    return Contraction(call, weight, kernel.index("O"), kernel.index("I"), data.index("C"), data.index("C"), int(call.attrs.groups))
