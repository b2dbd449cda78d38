"""Operators that move elements and compute nothing. Integer tensors keep their scale."""

from __future__ import annotations

from dataclasses import dataclass

from nnc_tvm.schedules.operators.operator import Operator


@dataclass(frozen=True, eq=False)
class Reshape(Operator):
    """The same elements in row-major order under another shape; costs nothing (the output is the input's memory)."""


@dataclass(frozen=True, eq=False)
class Transpose(Operator):
    """y[i0, i1, ...] = x with output axis j taken from input axis axes[j]."""

    axes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Concat(Operator):
    """The inputs one after the other along `axis`."""

    axis: int


@dataclass(frozen=True, eq=False)
class Pad(Operator):
    """x surrounded by `value`; before[i], after[i] >= 0 elements on axis i. For int8 the value is on the tensor's own scale."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    value: float


@dataclass(frozen=True, eq=False)
class StridedSlice(Operator):
    """y[i...] = x[begin + i * stride ...]; strides may be negative, begin is within the input."""

    begin: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Broadcast(Operator):
    """x repeated along axes of extent 1 to the output's shape (NumPy's broadcasting)."""
