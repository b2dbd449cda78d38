"""Proves, from the actual weights, that no int32 accumulator can overflow."""

from __future__ import annotations

import math
from functools import singledispatch

import numpy as np

from nnc_tvm.errors import Unsupported
from nnc_tvm.relay_passes.program import Program
from nnc_tvm.schedules.operators import Conv2d, Dense, DepthwiseConv2d, MatMul, Operator, Sum
from nnc_tvm.schedules.quantization import FixedRequantize

LIMIT = 2**31 - 1


@singledispatch
def accumulator_bound(operator: Operator) -> int:
    """The largest magnitude the accumulator of `operator` can reach; 0 for operators whose accumulators are bounded by construction."""
    return 0


def _bound(weight: np.ndarray, bias: np.ndarray, zero_point: int, channel_axis: int) -> int:
    if weight.dtype == np.float32:
        return 0
    axes = tuple(i for i in range(weight.ndim) if i != channel_axis)
    largest = max(127 - zero_point, 128 + zero_point)
    # kernels accumulate x * w and fold z * sum(w) into the bias: both the partial sums and the folded bias must fit
    magnitude = np.abs(weight.astype(np.int64)).sum(axes)
    return int((magnitude * max(largest, 128) + np.abs(bias.astype(np.int64)) + magnitude * abs(zero_point)).max(initial=0))


@accumulator_bound.register
def _(operator: Conv2d) -> int:
    return _bound(operator.weight, operator.bias, operator.input_zero_point, 0)


@accumulator_bound.register
def _(operator: Dense) -> int:
    return _bound(operator.weight, operator.bias, operator.input_zero_point, 0)


@accumulator_bound.register
def _(operator: DepthwiseConv2d) -> int:
    return _bound(operator.weight, operator.bias, operator.input_zero_point, 2)


@accumulator_bound.register
def _(operator: MatMul) -> int:
    return 255 * 255 * operator.inputs[0].shape[-1] if operator.inputs[0].dtype == "int8" else 0


@accumulator_bound.register
def _(operator: Sum) -> int:
    """A fixed requantization by more than 1 shifts the sum left before it multiplies."""
    bound = 255 * math.prod(operator.inputs[0].shape[axis] for axis in operator.axes)
    return bound << max(int(operator.epilogue.shift[0]), 0) if isinstance(operator.epilogue, FixedRequantize) else bound


def prove_accumulators(program: Program) -> None:
    """Raises Unsupported naming the first layer whose accumulator could overflow int32."""
    for layer in program.layers:
        bound = accumulator_bound(layer.operator)
        if bound > LIMIT:
            raise Unsupported(f"layer '{layer.name}': its int32 accumulator could reach {bound}, above 2^31 - 1; "
                              "split the layer's input channels or use smaller weights")
