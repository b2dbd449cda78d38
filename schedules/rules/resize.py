"""Resizing images: rows and columns come from tables, channels are the vector axis."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import numpy as np
from tvm import s_tir, te

from nnc_tvm.schedules.arithmetic import const
from nnc_tvm.schedules.loops import inline_epilogue, vectorize
from nnc_tvm.schedules.operators import Operator, ResizeBilinear, ResizeNearest
from nnc_tvm.schedules.rule import Choose, Stage

Expr = Any


@singledispatch
def tables(operator: Operator) -> tuple[np.ndarray, ...] | None:
    """The arrays the kernel reads beside the image, or None for operators that are no resizing."""
    return None


@singledispatch
def element(operator: Operator, x: Expr, arrays: list[Expr], n: Expr, h: Expr, w: Expr, c: Expr) -> Expr:
    """The output element from the image and the placeholders of `tables`."""
    raise TypeError(type(operator))


@tables.register
def _(operator: ResizeNearest) -> tuple[np.ndarray, ...]:
    return operator.rows.astype(np.int32), operator.columns.astype(np.int32)


@element.register
def _(operator: ResizeNearest, x: Expr, arrays: list[Expr], n: Expr, h: Expr, w: Expr, c: Expr) -> Expr:
    rows, columns = arrays
    return x[n, rows[h], columns[w], c]


@tables.register
def _(operator: ResizeBilinear) -> tuple[np.ndarray, ...]:
    return operator.rows.astype(np.int32), operator.columns.astype(np.int32), operator.row_weights, operator.column_weights


@element.register
def _(operator: ResizeBilinear, x: Expr, arrays: list[Expr], n: Expr, h: Expr, w: Expr, c: Expr) -> Expr:
    rows, columns, row_weights, column_weights = arrays
    acc = str(operator.row_weights.dtype)
    zero_point = const(operator.input_zero_point, acc)

    def column(i: int, j: int) -> Expr:
        return (x[n, rows[h, i], columns[w, j], c].astype(acc) - zero_point) * column_weights[w, j]

    total = (column(0, 0) + column(0, 1)) * row_weights[h, 0] + (column(1, 0) + column(1, 1)) * row_weights[h, 1]
    return inline_epilogue(operator.epilogue, total)


def stages(operator: Operator, target: Any, choose: Choose) -> tuple[Stage, ...] | None:
    """The rule for ResizeNearest and ResizeBilinear."""
    constants = tables(operator)
    if constants is None:
        return None
    image = operator.inputs[0]
    x = te.placeholder(image.shape, image.dtype, name="x")
    arrays = [te.placeholder(a.shape, str(a.dtype), name=f"table{k}") for k, a in enumerate(constants)]
    y = te.compute(operator.output.shape, lambda *i: element(operator, x, arrays, *i), name="y")
    sch = s_tir.Schedule(te.create_prim_func([x, *arrays, y]))
    lanes = choose("lanes", [target.vector_bytes // 4, target.vector_bytes // 2, target.vector_bytes], target.vector_bytes // 2)
    vectorize(sch, sch.get_loops(sch.get_sblock("y"))[-1], lanes)
    return (Stage(sch.mod["main"], (0,), constants, operator.output, "resize"),)
