"""Channels that hold one value everywhere, whatever the input, and what they add to the sums that read them.

A filter of zeros gives epilogue(bias) at every position. That value runs on through activations, pooling, concatenation and sums, computed
by the operators' own equations (nnc_tvm.reference), so that it is the kernel's integer. A convolution or dense layer that reads it adds
(value - zero point) * weight to every sum: into the bias with it. Zero padding is not part of the channel: where the value is not the zero
point and a tap reads the border, the sums differ from place to place and the channel stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import singledispatch

import numpy as np

from nnc_tvm.reference import evaluate
from nnc_tvm.relay_passes.channels import NOT_FROM_HERE, Route
from nnc_tvm.relay_passes.restrict_channels import restrict, restrict_epilogue
from nnc_tvm.schedules.operators import Conv2d, Dense, DepthwiseConv2d, Multiply, Operator, TensorType
from nnc_tvm.schedules.operators.operator import WeightedSum


@dataclass(frozen=True, eq=False)
class Constants:
    """known: bool (channels,); values: of the tensor's dtype (channels,), meaningful where known."""

    known: np.ndarray
    values: np.ndarray

    @staticmethod
    def none(channels: int, dtype: str) -> Constants:
        return Constants(np.zeros(channels, bool), np.zeros(channels, dtype))


def constants_of(array: np.ndarray, axis: int) -> Constants:
    """The channels of `array` that hold one finite value each; axis from the right."""
    rows = np.moveaxis(array, axis, -1).reshape(-1, array.shape[axis]) if array.ndim else array.reshape(1, 1)
    first = rows[0] if len(rows) else np.zeros(rows.shape[1], array.dtype)
    return Constants((rows == first).all(0) & bool(len(rows)) & np.isfinite(first), first)


def _filled(tensor: TensorType, axis: int, values: np.ndarray) -> np.ndarray:
    shape = [1] * len(tensor.shape)
    shape[axis] = len(values)
    return np.ascontiguousarray(np.broadcast_to(values.reshape(shape), tensor.shape))


def through(operator: Operator, axes: tuple[int, ...], route: Route, inputs: tuple[Constants, ...]) -> Constants:
    """What is constant after an operator that keeps channels apart."""
    total = operator.output.shape[route.axis]
    known = np.full(total, all(s is not None for s in route.sources))
    for source, constants in zip(route.sources, inputs, strict=True):
        if source is not None:
            known &= (source == NOT_FROM_HERE) | constants.known[source]
    found = Constants.none(total, operator.output.dtype)
    if known.any():
        kept = np.flatnonzero(known)
        read = tuple(np.unique(s[kept][s[kept] != NOT_FROM_HERE]) for s in route.sources if s is not None)
        part = restrict(operator, axes, read, route.axis, kept)
        arrays = [_filled(t, a, c.values[r]) for t, a, c, r in zip(part.inputs, axes, inputs, read, strict=True)]
        one = constants_of(evaluate(part, *arrays), route.axis)
        found.known[kept], found.values[kept] = one.known, one.values
    return _merged(found, own_constants(operator, route, inputs))


def _merged(a: Constants, b: Constants) -> Constants:
    return Constants(a.known | b.known, np.where(a.known, a.values, b.values))


@singledispatch
def own_constants(operator: Operator, route: Route, inputs: tuple[Constants, ...]) -> Constants:
    """Channels that the operator makes constant out of others that need not be."""
    return Constants.none(operator.output.shape[route.axis], operator.output.dtype)


@own_constants.register
def _(operator: DepthwiseConv2d, route: Route, inputs: tuple[Constants, ...]) -> Constants:
    return of_zero_filters(operator, np.asarray(~operator.weight.any((0, 1))))


@own_constants.register
def _(operator: Multiply, route: Route, inputs: tuple[Constants, ...]) -> Constants:
    """Nothing times anything is nothing."""
    found = Constants.none(operator.output.shape[route.axis], operator.output.dtype)
    for source, constants, zero_point in zip(route.sources, inputs, operator.zero_points, strict=True):
        if source is not None:
            found.known[:] |= constants.known[source] & (constants.values[source] == zero_point)
    point = replace(operator, inputs=(TensorType((1,), "int8"),) * 2, output=TensorType((1,), "int8"))
    found.values[:] = evaluate(point, *(np.array([z], np.int8) for z in operator.zero_points))
    return found


def of_zero_filters(operator: WeightedSum, zero: np.ndarray) -> Constants:
    """epilogue(bias) of the output channels whose filters are all zero; zero: bool (O,)."""
    found = Constants.none(len(zero), operator.output.dtype)
    kept = np.flatnonzero(zero)
    if kept.size:
        source, result = TensorType((1, 1), operator.inputs[0].dtype), TensorType((1, len(kept)), operator.output.dtype)
        layer = Dense((source,), result, np.zeros((len(kept), 1), operator.weight.dtype), operator.bias[kept], restrict_epilogue(operator.epilogue, kept))
        one = constants_of(evaluate(layer, np.zeros((1, 1), source.dtype)), -1)
        found.known[kept], found.values[kept] = one.known, one.values
    return found


def inside(operator: Conv2d) -> np.ndarray:
    """bool (KH, KW): the taps that never read the zero padding."""
    always = []
    for axis, extent in enumerate(operator.inputs[0].shape[1:3]):
        first = np.arange(operator.kernel[axis]) * operator.dilation[axis] - operator.padding[axis]
        last = first + (operator.output.shape[1 + axis] - 1) * operator.strides[axis]
        always.append((first >= 0) & (last < extent))
    return np.outer(*always)


def fold(operator: Conv2d | Dense, source: Constants) -> Conv2d | Dense:
    """The same sums with zero weights for the constant input channels that can be folded into the bias.

    Integers exactly; the bound of the accumulators does not grow, because |value - zero point| is within what it counts for every weight.
    Floats to the rounding of the bias.
    """
    weight = operator.weight.reshape(len(operator.weight), -1, operator.weight.shape[-1])  # O, taps, C
    border = ~inside(operator).reshape(-1) if isinstance(operator, Conv2d) else np.zeros(1, bool)
    offset = source.values.astype(np.float64) - operator.input_zero_point
    taken = source.known & ((offset == 0) | ~weight[:, border].any((0, 1)))
    if not (weight.any((0, 1)) & taken).any():
        return operator
    added = weight[..., taken].astype(np.float64).sum(1) @ offset[taken]  # float64 holds the integers exactly
    left = operator.weight.copy()
    left[..., taken] = 0
    return replace(operator, weight=left, bias=(operator.bias + added).astype(operator.bias.dtype))
