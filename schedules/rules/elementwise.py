"""Operators whose output element needs one element of each input: arithmetic, rescaling, conversion.

Axes that all tensors walk evenly are merged, so that tensors of one shape are one long row, and a per-channel operand leaves (pixels,
channels); the innermost axis is vectorized.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from tvm import s_tir, te, tirx

from nnc_tvm.schedules.arithmetic import PORTABLE, round_half_away, round_half_even
from nnc_tvm.schedules.axes import broadcast_strides, merge, used_shape
from nnc_tvm.schedules.loops import fuse_outer, inline_epilogue, vectorize
from nnc_tvm.schedules.operators import Dequantize, DynamicQuantize, FlipSign, LinearCombination, Multiply, Operator, Quantize, Rescale, SquaredDifference
from nnc_tvm.schedules.rule import Choose, Stage
from nnc_tvm.schedules.rules.rescaled import Rescaled, accumulator, offset, zero_points

Expr = Any


@singledispatch
def element(operator: Operator, *values: Expr) -> Expr:
    """The output element for one element of each input, as the operator's docstring says."""
    raise TypeError(type(operator))


@element.register(LinearCombination)
@element.register(Multiply)
@element.register(Rescale)
@element.register(SquaredDifference)
def _(operator: Rescaled, *values: Expr) -> Expr:
    differences = [offset(value, z) for value, z in zip(values, zero_points(operator), strict=True)]
    return inline_epilogue(operator.requantize, accumulator(operator, PORTABLE, *differences))


def clamped(quotient: Expr, low: Expr, high: Expr) -> Expr:
    """max(min(quotient, high), low), 0 for NaN."""
    # of NaN both parts are 0, as minimum and maximum give their second operand then; a test for NaN would branch
    zero = tirx.const(0, "float32")
    return te.max(te.min(te.min(quotient, zero) + te.max(quotient, zero), high), low)


@element.register
def _(operator: Quantize, x: Expr) -> Expr:
    low, high = (tirx.const(bound - operator.zero_point, "float32") for bound in (operator.low, operator.high))
    value = clamped(x / tirx.const(operator.scale, "float32"), low, high)
    value = round_half_away(value) if operator.half_away else round_half_even(value)
    return (value.astype("int32") + tirx.const(operator.zero_point, "int32")).astype(operator.output.dtype)


@element.register
def _(operator: DynamicQuantize, x: Expr, scale: Expr, zero_point: Expr) -> Expr:
    zero = zero_point.astype("float32")
    value = clamped(x / scale, tirx.const(-128, "float32") - zero, tirx.const(127, "float32") - zero)
    whole = round_half_away(value) if operator.half_away else round_half_even(value)
    return (whole + zero).astype("int32").astype("int8")


@element.register
def _(operator: Dequantize, x: Expr) -> Expr:
    return offset(x, operator.zero_point).astype("float32") * tirx.const(operator.scale, "float32")


@element.register
def _(operator: FlipSign, x: Expr) -> Expr:
    flipped = x ^ tirx.const(-128 if operator.inputs[0].dtype == "int8" else 128, operator.inputs[0].dtype)
    return tirx.reinterpret(operator.output.dtype, flipped)


def stages(operator: Operator, target: Any, choose: Choose) -> tuple[Stage, ...] | None:
    """The rule for element-wise operators."""
    if element.dispatch(type(operator)) is element.dispatch(object):
        return None
    walk = merge(operator.output.shape, tuple(broadcast_strides(t.shape, operator.output.shape) for t in (*operator.inputs, operator.output)))
    inputs = [te.placeholder(used_shape(walk, k), t.dtype, name=f"x{k}") for k, t in enumerate(operator.inputs)]

    def at(k: int, index: tuple[Expr, ...]) -> Expr:
        return inputs[k][tuple(i if stride else 0 for i, stride in zip(index, walk.strides[k], strict=True))]

    y = te.compute(walk.extents, lambda *i: element(operator, *(at(k, i) for k in range(len(inputs)))), name="y")
    schedule = apply(s_tir.Schedule(te.create_prim_func([*inputs, y])), target, choose)
    # broadcast operands are read again after the first writes
    reusable = tuple(k for k, t in enumerate(operator.inputs) if t.bytes == operator.output.bytes and t.elements == operator.output.elements)
    function = schedule.mod["main"]
    if reusable:
        function = function.without_attr("tirx.noalias")
    return (Stage(function, tuple(range(len(inputs))), (), operator.output, "elementwise", reusable),)


def apply(sch: s_tir.Schedule, target: Any, choose: Choose) -> s_tir.Schedule:
    """Vectors over the innermost axis. Results pass through int32 or float32, hence four registers per vector of bytes."""
    *outer, inner = sch.get_loops(sch.get_sblock("y"))
    fuse_outer(sch, outer)
    lanes = choose("lanes", [target.vector_bytes // 4, target.vector_bytes // 2, 16, target.vector_bytes], 16)
    vectorize(sch, inner, lanes)
    return sch
