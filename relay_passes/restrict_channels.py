"""Operators on some of their channels."""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatch

import numpy as np

from nnc_tvm.schedules.operators import Conv2d, Dense, DepthwiseConv2d, Operator, StridedSlice, TensorType
from nnc_tvm.schedules.quantization import Epilogue, FixedRequantize, FloatRequantize, ScaleToFloat

PER_CHANNEL = {FixedRequantize: ("multiplier", "shift"), FloatRequantize: ("scale",), ScaleToFloat: ("scale",)}


def restrict_type(tensor: TensorType, axis: int, kept: np.ndarray) -> TensorType:
    """`tensor` with the channels `kept` (their numbers) alone; axis from the right. Scalars stay."""
    if not tensor.shape:
        return tensor
    shape = list(tensor.shape)
    shape[axis] = len(kept)
    return TensorType(tuple(shape), tensor.dtype)


def restrict_epilogue(epilogue: Epilogue, kept: np.ndarray) -> Epilogue:
    """`epilogue` for the output channels `kept`; what all channels share stays."""
    arrays = {name: getattr(epilogue, name) for name in PER_CHANNEL.get(type(epilogue), ())}
    return replace(epilogue, **{name: array[kept] for name, array in arrays.items() if array.size > 1})


@singledispatch
def restrict_parameters(operator: Operator, read: tuple[np.ndarray, ...], kept: np.ndarray, axis: int, inputs: tuple[TensorType, ...],
                        output: TensorType) -> Operator:
    """`operator` with the parameters of the input channels `read` (one array for each input) and the output channels `kept`; axis: of the
    first input's channels, from the right. inputs, output: the types that `restrict` then gives it."""
    return operator


@restrict_parameters.register
def _(operator: Conv2d, read: tuple[np.ndarray, ...], kept: np.ndarray, axis: int, inputs: tuple[TensorType, ...],
      output: TensorType) -> Operator:
    return replace(operator, weight=np.ascontiguousarray(operator.weight[kept][..., read[0]]), bias=operator.bias[kept],
                   epilogue=restrict_epilogue(operator.epilogue, kept))


@restrict_parameters.register
def _(operator: Dense, read: tuple[np.ndarray, ...], kept: np.ndarray, axis: int, inputs: tuple[TensorType, ...],
      output: TensorType) -> Operator:
    return replace(operator, weight=np.ascontiguousarray(operator.weight[np.ix_(kept, read[0])]), bias=operator.bias[kept],
                   epilogue=restrict_epilogue(operator.epilogue, kept))


@restrict_parameters.register
def _(operator: DepthwiseConv2d, read: tuple[np.ndarray, ...], kept: np.ndarray, axis: int, inputs: tuple[TensorType, ...],
      output: TensorType) -> Operator:
    return replace(operator, weight=np.ascontiguousarray(operator.weight[..., kept]), bias=operator.bias[kept],
                   epilogue=restrict_epilogue(operator.epilogue, kept))


@restrict_parameters.register
def _(operator: StridedSlice, read: tuple[np.ndarray, ...], kept: np.ndarray, axis: int, inputs: tuple[TensorType, ...],
      output: TensorType) -> Operator:
    begin = list(operator.begin)
    begin[axis] = int((read[0] < begin[axis]).sum())
    return replace(operator, begin=tuple(begin))


def restrict(operator: Operator, axes: tuple[int, ...], read: tuple[np.ndarray | None, ...], axis: int, kept: np.ndarray) -> Operator:
    """`operator` from the input channels `read` (None: as they are) to the output channels `kept`.

    axes, axis: of the channels of the inputs and the output, from the right.
    """
    numbers = tuple(np.arange(t.shape[a] if t.shape else 1) if r is None else r for t, a, r in zip(operator.inputs, axes, read, strict=True))
    types = tuple(t if r is None else restrict_type(t, a, r) for t, a, r in zip(operator.inputs, axes, read, strict=True))
    output = restrict_type(operator.output, axis, kept)
    return replace(restrict_parameters(operator, numbers, kept, axes[0], types, output), inputs=types, output=output)
