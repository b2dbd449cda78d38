"""How channels run through operators: which input channel each output channel is made of.

Every value of a program has one axis of channels, counted from the right (-1 in NHWC images); `trace` follows it through an operator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import singledispatch

import numpy as np

from nnc_tvm.schedules.operators import (
    AveragePool2d,
    Broadcast,
    Concat,
    DepthwiseConv2d,
    Dequantize,
    Divide,
    FlipSign,
    LinearCombination,
    MaxPool2d,
    Mean,
    Multiply,
    Operator,
    Pad,
    Quantize,
    Rescale,
    Reshape,
    ResizeBilinear,
    ResizeNearest,
    SquaredDifference,
    StridedSlice,
    Sum,
    Table,
    TensorType,
    Transpose,
)

NHWC = -1
NOT_FROM_HERE = -1


@dataclass(frozen=True, eq=False)
class Route:
    """axis: of the output's channels, from the right. sources: for each input the channel that each output channel is made of, int64 (output
    channels,), NOT_FROM_HERE where it is made of another input's; None for an input that all channels share."""

    axis: int
    sources: tuple[np.ndarray | None, ...]


@singledispatch
def trace(operator: Operator, axes: tuple[int, ...]) -> Route | None:
    """The route through an operator that keeps channels apart; axes: of the inputs' channels.

    None where output channels depend on many input channels, or where the channels are no axis of the result.
    """
    return None


def channels(tensor: TensorType, axis: int) -> int:
    """How many channels a tensor has; a scalar has one."""
    return tensor.shape[axis] if tensor.shape else 1


def _straight(tensor: TensorType, axis: int) -> np.ndarray:
    return np.arange(channels(tensor, axis))


@trace.register(Table)
@trace.register(Rescale)
@trace.register(Quantize)
@trace.register(Dequantize)
@trace.register(FlipSign)
@trace.register(LinearCombination)
@trace.register(Multiply)
@trace.register(SquaredDifference)
@trace.register(Divide)
def trace_elements(operator: Operator, axes: tuple[int, ...]) -> Route | None:
    """Element by element; an operand of one channel is broadcast."""
    count = {axis: channels(operator.output, axis) for axis in axes if -axis <= len(operator.output.shape)}
    wide = [-axis <= len(t.shape) and t.shape[axis] == count.get(axis) for t, axis in zip(operator.inputs, axes, strict=True)]
    carried = {axis for axis, w in zip(axes, wide, strict=True) if w}
    if len(carried) != 1:
        return None
    axis = carried.pop()
    # what is not spread over the channels must not vary along their axis
    if any(not w and -axis <= len(t.shape) and t.shape[axis] != 1 for t, w in zip(operator.inputs, wide, strict=True)):
        return None
    return Route(axis, tuple(np.arange(count[axis]) if w else None for w in wide))


@trace.register(MaxPool2d)
@trace.register(AveragePool2d)
@trace.register(ResizeNearest)
@trace.register(ResizeBilinear)
def _(operator: Operator, axes: tuple[int, ...]) -> Route | None:
    return Route(NHWC, (_straight(operator.output, NHWC),)) if axes == (NHWC,) else None


@trace.register
def _(operator: DepthwiseConv2d, axes: tuple[int, ...]) -> Route | None:
    multiplier = operator.output.shape[NHWC] // operator.inputs[0].shape[NHWC]
    return Route(NHWC, (_straight(operator.output, NHWC) // multiplier,)) if axes == (NHWC,) else None


@trace.register(Mean)
@trace.register(Sum)
def _(operator: Mean | Sum, axes: tuple[int, ...]) -> Route | None:
    rank = len(operator.inputs[0].shape)
    axis = rank + axes[0]
    if axis in operator.axes:
        return None
    removed = sum(a > axis for a in operator.axes) if len(operator.output.shape) < rank else 0
    return Route(axes[0] + removed, (_straight(operator.inputs[0], axes[0]),))


@trace.register
def _(operator: Pad, axes: tuple[int, ...]) -> Route | None:
    if operator.before[axes[0]] or operator.after[axes[0]]:
        return None
    return Route(axes[0], (_straight(operator.output, axes[0]),))


@trace.register
def _(operator: Broadcast, axes: tuple[int, ...]) -> Route | None:
    source = operator.inputs[0]
    if not source.shape or source.shape[axes[0]] != operator.output.shape[axes[0]]:
        return None
    return Route(axes[0], (_straight(source, axes[0]),))


@trace.register
def _(operator: Transpose, axes: tuple[int, ...]) -> Route | None:
    rank = len(operator.axes)
    return Route(operator.axes.index(rank + axes[0]) - rank, (_straight(operator.inputs[0], axes[0]),))


@trace.register
def _(operator: StridedSlice, axes: tuple[int, ...]) -> Route | None:
    """Of channels in order: what is left of them is a slice again."""
    axis = axes[0]
    if operator.strides[axis] != 1:
        return None
    return Route(axis, (operator.begin[axis] + _straight(operator.output, axis),))


@trace.register
def _(operator: Concat, axes: tuple[int, ...]) -> Route | None:
    if len(set(axes)) != 1:
        return None
    axis, total = axes[0], channels(operator.output, axes[0])
    if operator.axis != len(operator.output.shape) + axis:
        return Route(axis, tuple(np.arange(total) for _ in axes))
    sources, begin = [], 0
    for part in operator.inputs:
        source = np.full(total, NOT_FROM_HERE)
        source[begin:begin + part.shape[axis]] = np.arange(part.shape[axis])
        sources.append(source)
        begin += part.shape[axis]
    return Route(axis, tuple(sources))


@trace.register
def _(operator: Reshape, axes: tuple[int, ...]) -> Route | None:
    """Element f in row-major order is of channel f / inner % C, and at f / step % D of the output's axis: the second must decide the first."""
    source, output = operator.inputs[0], operator.output
    if not source.shape or not output.shape:
        return None
    count, inner = source.shape[axes[0]], math.prod(source.shape[len(source.shape) + axes[0] + 1:])
    for axis in range(-1, -len(output.shape) - 1, -1):
        step = math.prod(output.shape[len(output.shape) + axis + 1:])
        if inner % step == 0 and output.shape[axis] * step % (count * inner) == 0:
            return Route(axis, (np.arange(output.shape[axis]) // (inner // step) % count,))
    return None
