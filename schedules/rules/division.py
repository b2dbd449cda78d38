"""Quotients of bytes: in float32 where that gives the same integers, else by a reciprocal per divisor from a table, in vectors of 32-bit lanes."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import s_tir, te, tirx

from nnc_tvm.schedules.arithmetic import clamp, const, high_multiply, round_half_even, rounding_shift
from nnc_tvm.schedules.axes import broadcast_strides, merge, used_shape
from nnc_tvm.schedules.fixed_point import INT32_MAX
from nnc_tvm.schedules.gemmlowp import reciprocal
from nnc_tvm.schedules.loops import fuse_outer, vectorize
from nnc_tvm.schedules.operators import Divide, Operator
from nnc_tvm.schedules.rule import Choose, Stage
from nnc_tvm.schedules.rules.elementwise import clamped
from nnc_tvm.schedules.rules.equal_floats import float_quotient
from nnc_tvm.schedules.rules.rescaled import offset

Expr = Any


def reciprocals(zero_point: int) -> np.ndarray:
    """int32 (256,): 1 / |b - zero_point| in Q0.31 without its exponent, by b's bits as an unsigned number; the largest for 0."""
    denominator = np.abs(np.roll(np.arange(-128, 128), 128) - zero_point)
    return np.where(denominator == 0, INT32_MAX, reciprocal(np.maximum(denominator, 1), 31)[0]).astype(np.int32)


def bit_length(value: Expr) -> Expr:
    """Of int32 within [0, 2^22): the exponent of a float32, which vectors have on every CPU; TVM cannot vectorize LLVM's count of zeros."""
    odd = (value + value + const(1, "int32")).astype("float32")
    return (tirx.reinterpret("int32", odd) >> const(23, "int32")) - const(127, "int32")


def quotient(operator: Divide, a: Expr, b: Expr, inverse: Expr) -> Expr:
    """`schedules.gemmlowp.quotient` of the differences a and b, int32, by the reciprocal of b."""
    sign = b >> const(31, "int32")
    numerator, denominator = (a ^ sign) - sign, (b ^ sign) - sign
    headroom = const(31, "int32") - bit_length(numerator ^ (numerator >> const(31, "int32")))
    product = high_multiply(high_multiply(numerator << headroom, inverse), const(operator.multiplier, "int32"))
    exponent = headroom + bit_length(denominator) - const(operator.shift + 1, "int32")
    rounded = rounding_shift(product, clamp(exponent, 0, 31, "int32"))
    return tirx.Select(denominator == const(0, "int32"), product, tirx.Select(exponent > const(31, "int32"), const(0, "int32"), rounded))


def stages(operator: Operator, target: Any, choose: Choose) -> tuple[Stage, ...] | None:
    """The rule for Divide."""
    if not isinstance(operator, Divide):
        return None
    walk = merge(operator.output.shape, tuple(broadcast_strides(t.shape, operator.output.shape) for t in (*operator.inputs, operator.output)))
    inputs = [te.placeholder(used_shape(walk, k), "int8", name=f"x{k}") for k in (0, 1)]
    table = te.placeholder((256,), "int32", name="table")
    low, high = operator.low - operator.zero_point, operator.high - operator.zero_point
    factor = float_quotient(operator)

    def element(*index: Expr) -> Expr:
        bytes_ = [x[tuple(i if stride else 0 for i, stride in zip(index, strides, strict=True))] for x, strides in zip(inputs, walk.strides, strict=False)]
        a, b = (offset(x, zero_point) for x, zero_point in zip(bytes_, operator.zero_points, strict=True))
        if factor is None:
            result = clamp(quotient(operator, a, b, table[tirx.reinterpret("uint8", bytes_[1]).astype("int32")]), low, high, "int32")
        else:
            real = a.astype("float32") * const(float(factor), "float32") / b.astype("float32")
            result = round_half_even(clamped(real, const(low, "float32"), const(high, "float32"))).astype("int32")
        return (result + const(operator.zero_point, "int32")).astype("int8")

    y = te.compute(walk.extents, element, name="y")
    tables = [(table, reciprocals(operator.zero_points[1]))] if factor is None else []
    sch = s_tir.Schedule(te.create_prim_func([*inputs, *(t for t, _ in tables), y]))
    *outer, inner = sch.get_loops(sch.get_sblock("y"))
    fuse_outer(sch, outer)
    vectorize(sch, inner, choose("lanes", [target.vector_bytes // 4, target.vector_bytes // 2], target.vector_bytes // 4))
    reusable = tuple(k for k, t in enumerate(operator.inputs) if t.elements == operator.output.elements)
    function = sch.mod["main"].without_attr("tirx.noalias") if reusable else sch.mod["main"]
    return (Stage(function, (0, 1), tuple(values for _, values in tables), operator.output, "quotients", reusable),)
