"""Convolutions that add another tensor to their requantized sum before they store it: what their kernels share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.arithmetic import Arithmetic, clamp, const
from nnc_tvm.schedules.epilogue import finish
from nnc_tvm.schedules.isa import DotProduct
from nnc_tvm.schedules.operators import TensorType
from nnc_tvm.schedules.quantization import FixedRequantize, FloatRequantize
from nnc_tvm.schedules.rule import Stage
from nnc_tvm.schedules.rules.contraction_plan import Contraction
from nnc_tvm.schedules.rules.rescaled import result_of

Expr = Any


def takes_residual(c: Contraction, isa: DotProduct) -> bool:
    """Whether `c` adds nothing, or has whole vectors of accumulators to add to, which may be short where the CPU requantizes any."""
    return c.residual is None or c.group_channels % min(isa.rows * isa.lanes, isa.arithmetic.shortest) == 0


@dataclass(frozen=True)
class Sum:
    """What is added, in steps of which each has the width that suits it. total: the int16 that `finish` takes, from what own and other give, as int32."""

    convolution: FixedRequantize | FloatRequantize
    zero_point: int
    total: Callable[[Expr, Expr], Expr]

    def own(self, value: Expr) -> Expr:
        """The convolution's output less its zero point, from the int16 that `requantize` gives, without the way over int8."""
        first = self.convolution
        return clamp(value, first.low - first.zero_point, first.high - first.zero_point, "int16")

    def other(self, residual: Expr) -> Expr:
        """The residual less its zero point; int16."""
        return residual.astype("int16") - const(self.zero_point, "int16")


def sum_of(c: Contraction, arithmetic: Arithmetic) -> Sum:
    """For a contraction with a residual."""
    assert c.residual is not None and isinstance(c.epilogue, FixedRequantize | FloatRequantize)
    return Sum(c.epilogue, c.residual.zero_points[1], result_of(c.residual, arithmetic))


def store_channels(c: Contraction, isa: DotProduct, width: int, held: Any, at: tuple[Expr, ...], residual: Any, y: Any, place: tuple[Expr, ...]) -> None:
    """Stores `width` neighbouring channels, the first from held[at], a result of `requantize`, in y[place]."""
    (*row, start), (*pixel, first) = at, place
    if c.residual is None:
        with T.vectorized(width) as lane:
            T.buffer_store(y, finish(c.epilogue, held[(*row, start + lane)], isa.arithmetic), [*pixel, first + lane])
        return
    add, native = sum_of(c, isa.arithmetic), min(isa.rows * isa.lanes, width)
    own, other, total = [T.sblock_alloc_buffer((width,), "int16", scope="local") for _ in range(3)]
    with T.vectorized(width) as lane:
        T.buffer_store(own, add.own(held[(*row, start + lane)]), [lane])
    with T.vectorized(width) as lane:
        T.buffer_store(other, add.other(residual[(*pixel, first + lane)]), [lane])
    for part in range(0, width, native):  # what requantizes cannot be split
        with T.vectorized(native) as lane:
            T.buffer_store(total, add.total(own[part + lane].astype("int32"), other[part + lane].astype("int32")), [part + lane])
    with T.vectorized(width) as lane:
        T.buffer_store(y, finish(c.residual.requantize, total[lane], isa.arithmetic), [*pixel, first + lane])


def final_stage(c: Contraction, function: Any, x: int, constants: tuple[np.ndarray, ...], output: TensorType, kernel: str,
                scratch: tuple[TensorType, ...] = (), terms: tuple[int, ...] = ()) -> Stage:
    """The stage of a kernel that reads x (an input as in Stage), the run's parameters where `c.rows`, and the residual, over which it may write: each
    element is read just before. terms: the row terms (as x), where `c.row_terms`."""
    if c.residual is None:
        return Stage(function, (x, 1, *terms) if c.rows else (x, *terms), constants, output, kernel, scratch=scratch)
    return Stage(function.without_attr("tirx.noalias"), (x, 1, *terms), constants, output, f"{kernel} + residual", (1,), scratch)
