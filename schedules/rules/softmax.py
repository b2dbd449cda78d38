"""Softmax on int8 rows, in integers (`fixed`) or by a table of exponentials (`float`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import s_tir, te, tirx

from nnc_tvm.schedules import fixed_point
from nnc_tvm.schedules.arithmetic import clamp, const, high_multiply, round_half_even
from nnc_tvm.schedules.gemmlowp import NEWTON_32_17, NEWTON_48_17, exp_on_negative_values
from nnc_tvm.schedules.operators import FixedSoftmax, Operator, TableSoftmax
from nnc_tvm.schedules.rule import Choose, Stage

Expr = Any


def stages(operator: Operator, target: Any, choose: Choose) -> tuple[Stage, ...] | None:
    """The rule for TableSoftmax and FixedSoftmax. Both look exponentials up: there are only 256 differences to the row's maximum."""
    if not isinstance(operator, TableSoftmax | FixedSoftmax):
        return None
    columns = operator.output.shape[-1]
    rows = operator.output.elements // columns
    table_values = operator.exponentials if isinstance(operator, TableSoftmax) else exponentials_q31(operator)
    x, table = te.placeholder((rows, columns), "int8", name="x"), te.placeholder((256,), "int32", name="table")
    r1, r2 = te.reduce_axis((0, columns), "r1"), te.reduce_axis((0, columns), "r2")
    largest = te.compute((rows,), lambda i: te.max(x[i, r1].astype("int32"), axis=r1), name="largest")
    fixed = isinstance(operator, FixedSoftmax)

    def term(i: Expr, k: Expr) -> Expr:
        return table[largest[i] - x[i, k].astype("int32")]

    total = te.compute((rows,), lambda i: te.sum(_rounded_q19(term(i, r2)) if fixed else term(i, r2), axis=r2), name="total")

    steps = reciprocal_steps(total, rows) if fixed else []
    scale, exponent = steps[-2:] if fixed else (total, total)

    def finish(i: Expr, k: Expr) -> Expr:
        if isinstance(operator, FixedSoftmax):
            # the mask changes nothing: it tells TVM's simplifier, which takes a shift of unknown sign for anything, that the shift is not negative
            shift = exponent[i].astype("int64") & const(63, "int64")
            product = high_multiply(term(i, k), scale[i]).astype("int64")  # >= 0, so halves up are halves away from zero
            rounded = (product + (const(1, "int64") << (shift - const(1, "int64")))) >> shift
            return (te.min(rounded, const(255, "int64")).astype("int32") - const(128, "int32")).astype("int8")
        ratio = term(i, k).astype("float32") / total[i].astype("float32") * const(operator.scale, "float32")
        bounded = clamp(ratio, -128 - operator.zero_point, 127 - operator.zero_point, "float32")
        return (round_half_even(bounded).astype("int32") + const(operator.zero_point, "int32")).astype("int8")

    y = te.compute((rows, columns), finish, name="y")
    sch = s_tir.Schedule(te.create_prim_func([x, table, y]))
    row = sch.get_loops(sch.get_sblock("y"))[0]
    for name in (*(step.op.name for step in reversed(steps)), "total", "largest"):
        sch.compute_at(sch.get_sblock(name), row)
        sch.set_scope(sch.get_sblock(name), 0, "local")
    return (Stage(sch.mod["main"], (0,), (table_values,), operator.output, "softmax", may_overwrite=()),)


def _rounded_q19(value: Expr) -> Expr:
    """Q0.31 to Q12.19, halves away from zero (values are not negative); exp(0) is the largest int32, so nothing may be added first."""
    return (value >> const(12, "int32")) + ((value >> const(11, "int32")) & const(1, "int32"))


def exponentials_q31(operator: FixedSoftmax) -> np.ndarray:
    """int32 (256,): exp(-d * beta * input scale) in Q0.31 for each difference d to the maximum, 0 where LiteRT leaves the term out."""
    difference = -np.arange(256, dtype=np.int64)
    counts = difference >= operator.diff_min
    scaled = fixed_point.high_multiply(np.where(counts, difference, 0) << operator.shift, operator.multiplier)
    return np.where(counts, exp_on_negative_values(scaled, 5), 0).astype(np.int32)


def leading_zeros(value: Expr) -> Expr:
    return tirx.call_llvm_pure_intrin("int32", "llvm.ctlz", value, const(False, "bool"))


def reciprocal_steps(total: Any, rows: int) -> list[Any]:
    """1 / total for Q12.19 total > 0: the last two are its Q0.31 fraction (int32), by Newton's iteration as gemmlowp's GetReciprocal, and
    the right shift that brings a product with it to units of 1/256.

    Each iterate is a tensor of its own: written as one expression it would hold its first step 4^3 times, and TVM takes minutes.
    """

    def half(i: Expr) -> Expr:
        shifted = (total[i].astype("int64") << leading_zeros(total[i]).astype("int64")) - const(1 << 31, "int64")
        return ((shifted + const(1 << 31, "int64")) >> const(1, "int64")).astype("int32")

    halves = te.compute((rows,), half, name="half")
    def newton(x: Any, k: int) -> list[Any]:
        error = te.compute((rows,), lambda i: const(1 << 29, "int32") - high_multiply(halves[i], x[i]), name=f"error_{k}")
        return [error, te.compute((rows,), lambda i: x[i] + saturated_double(saturated_double(high_multiply(x[i], error[i]))), name=f"newton_{k}")]

    steps = [halves, te.compute((rows,), lambda i: const(NEWTON_48_17, "int32") + high_multiply(halves[i], const(NEWTON_32_17, "int32")), name="newton_0")]
    for k in (1, 2, 3):
        steps += newton(steps[-1], k)
    x = steps[-1]
    scale = te.compute((rows,), lambda i: saturated_double(x[i]), name="scale")
    exponent = te.compute((rows,), lambda i: const(12 + 31 - 8, "int32") - leading_zeros(total[i]), name="exponent")
    return [*steps, scale, exponent]


def saturated_double(x: Expr) -> Expr:
    return clamp(x.astype("int64") * const(2, "int64"), -(1 << 31), (1 << 31) - 1, "int64").astype("int32")
