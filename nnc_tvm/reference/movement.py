"""Operators that move elements."""

from __future__ import annotations

import numpy as np

from nnc_tvm.reference.dispatch import evaluate
from nnc_tvm.schedules.operators import Broadcast, Concat, Pad, Reshape, StridedSlice, Transpose


@evaluate.register
def reshape(operator: Reshape, x: np.ndarray) -> np.ndarray:
    return x.reshape(operator.output.shape)


@evaluate.register
def transpose(operator: Transpose, x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x.transpose(operator.axes))


@evaluate.register
def concat(operator: Concat, *inputs: np.ndarray) -> np.ndarray:
    return np.concatenate(inputs, axis=operator.axis)


@evaluate.register
def pad(operator: Pad, x: np.ndarray) -> np.ndarray:
    return np.pad(x, tuple(zip(operator.before, operator.after, strict=True)), constant_values=operator.value)


@evaluate.register
def strided_slice(operator: StridedSlice, x: np.ndarray) -> np.ndarray:
    indices = [begin + stride * np.arange(extent) for begin, stride, extent in zip(operator.begin, operator.strides, operator.output.shape, strict=True)]
    return x[np.ix_(*indices)]


@evaluate.register
def broadcast(operator: Broadcast, x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.broadcast_to(x, operator.output.shape))
