"""Arithmetic on small integers that ends in a requantization, with the requantization of the CPU, in registers.

Every step has the width that suits it: bytes are loaded, reduced by their zero points and stored in wide vectors, what lies between is
computed in vectors of 32-bit lanes. `elementwise` takes the shapes that do not fill whole vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch
from typing import Any

from tvm import s_tir, te, tirx

from nnc_tvm.schedules.arithmetic import Arithmetic
from nnc_tvm.schedules.axes import broadcast_strides, merge, used_shape
from nnc_tvm.schedules.epilogue import epilogue_constants, finish, requantize
from nnc_tvm.schedules.intrin import avx2, neon
from nnc_tvm.schedules.loops import fuse_outer
from nnc_tvm.schedules.operators import LinearCombination, Multiply, Operator, Rescale, SquaredDifference
from nnc_tvm.schedules.quantization import Epilogue
from nnc_tvm.schedules.rule import Choose, Stage
from nnc_tvm.schedules.rules.equal_floats import float_requantize
from nnc_tvm.schedules.rules.shifted_sum import ShiftedSum, shifted_sum

Expr = Any
Rescaled = LinearCombination | Multiply | Rescale | SquaredDifference
ARITHMETIC = {"avx2": avx2.ARITHMETIC, "neon": neon.ARITHMETIC}


def offset(value: Expr, zero_point: int) -> Expr:
    """value - zero_point in int32."""
    return value.astype("int32") - tirx.const(zero_point, "int32")


@singledispatch
def accumulator(operator: Operator, arithmetic: Arithmetic, *differences: Expr) -> Expr:
    """What is requantized, int32, from each input's x - zero_point in int32."""
    raise TypeError(type(operator))


@accumulator.register
def _(operator: LinearCombination, arithmetic: Arithmetic, *differences: Expr) -> Expr:
    terms = [scaled(operator, arithmetic, i, value) for i, value in enumerate(differences)]
    return terms[0] + terms[1]


@accumulator.register
def _(operator: SquaredDifference, arithmetic: Arithmetic, *differences: Expr) -> Expr:
    terms = [scaled(operator, arithmetic, i, value) for i, value in enumerate(differences)]
    return (terms[0] - terms[1]) * (terms[0] - terms[1])


@accumulator.register
def _(operator: Multiply, arithmetic: Arithmetic, *differences: Expr) -> Expr:
    return differences[0] * differences[1]


@accumulator.register
def _(operator: Rescale, arithmetic: Arithmetic, *differences: Expr) -> Expr:
    return differences[0]


def scaled(operator: LinearCombination | SquaredDifference, arithmetic: Arithmetic, i: int, value: Expr) -> Expr:
    """`scaled(value, i)` of the operator's docstring."""
    factor, shift = operator.factors[i], operator.shifts[i]
    if isinstance(operator, LinearCombination) and not operator.fixed:
        return value * tirx.const(factor, "int32")
    exact = operator.left_shift - 1 + shift
    if abs(factor) == 1 << 30 and exact >= 0:  # a power of two, which the operand of the larger scale always has: nothing is rounded
        term = value << tirx.const(exact, "int32")
    else:
        product = arithmetic.high_multiply(value << tirx.const(operator.left_shift, "int32"), tirx.const(abs(factor), "int32"))
        term = arithmetic.rounding_shift(product, tirx.const(shift, "int32"))
    return -term if factor < 0 else term


def rounded_shift(short: ShiftedSum, arithmetic: Arithmetic, a: Expr, b: Expr) -> Expr:
    """What `short` says, before the clamp; int32."""
    factors, offset, exponent = [tirx.const(factor, "int32") for factor in short.factors], short.offset, short.exponent
    total = a * factors[0] + b * factors[1]
    return arithmetic.shift_halves_up(total + tirx.const(offset, "int32") if offset else total, tirx.const(-exponent, "int32"))


def result_of(operator: Rescaled, arithmetic: Arithmetic) -> Callable[..., Expr]:
    """The function from the inputs' x - zero_point in int32 to the int16 that `finish` takes."""
    short = shifted_sum(operator) if isinstance(operator, LinearCombination) else None
    if short is not None:
        return lambda a, b: arithmetic.to_int16(rounded_shift(short, arithmetic, a, b))
    epilogue: Epilogue = operator.requantize
    if arithmetic.high_multiply_is_slow and isinstance(operator, SquaredDifference):
        epilogue = float_requantize(operator) or epilogue
    parameters = [tirx.const(values[0].item(), str(values.dtype)) for _, values in epilogue_constants(epilogue, 1)]
    return lambda *values: requantize(epilogue, accumulator(operator, arithmetic, *values), parameters, arithmetic)


def zero_points(operator: Rescaled) -> tuple[int, ...]:
    """Of the inputs."""
    return (operator.zero_point,) if isinstance(operator, Rescale) else operator.zero_points


def stages(operator: Operator, target: Any, choose: Choose) -> tuple[Stage, ...] | None:
    """The rule for operators that end in a requantization, of bytes."""
    if not isinstance(operator, Rescaled) or any(t.dtype not in ("int8", "uint8") for t in operator.inputs):
        return None
    arithmetic = next((a for feature, a in ARITHMETIC.items() if feature in target.features), None)
    walk = merge(operator.output.shape, tuple(broadcast_strides(t.shape, operator.output.shape) for t in (*operator.inputs, operator.output)))
    native = target.vector_bytes // 4
    fitting = [lanes for lanes in (16, 8, 4) if lanes >= native and walk.extents[-1] % lanes == 0]
    if arithmetic is None or not fitting:
        return None
    inputs = [te.placeholder(used_shape(walk, k), t.dtype, name=f"x{k}") for k, t in enumerate(operator.inputs)]

    def difference(k: int, zero_point: int) -> Expr:
        def at(*index: Expr) -> Expr:
            x = inputs[k][tuple(i if stride else 0 for i, stride in zip(index, walk.strides[k], strict=True))]
            return x.astype("int16") - tirx.const(zero_point, "int16")

        return te.compute(walk.extents, at, name=f"difference{k}")

    differences = [difference(k, z) for k, z in enumerate(zero_points(operator))]
    result = result_of(operator, arithmetic)
    value = te.compute(walk.extents, lambda *i: result(*(d(*i).astype("int32") for d in differences)), name="requantize")
    y = te.compute(walk.extents, lambda *i: finish(operator.requantize, value(*i), arithmetic), name="finish")
    sch = s_tir.Schedule(te.create_prim_func([*inputs, y]))
    apply(sch, [f"difference{k}" for k in range(len(inputs))], choose("lanes", fitting, fitting[0]), native)
    reusable = tuple(k for k, t in enumerate(operator.inputs) if t.bytes == operator.output.bytes)
    function = sch.mod["main"]
    if reusable:
        function = function.without_attr("tirx.noalias")
    return (Stage(function, tuple(range(len(inputs))), (), operator.output, "elementwise", reusable),)


def apply(sch: s_tir.Schedule, differences: list[str], lanes: int, native: int) -> None:
    """A vector of `lanes` bytes at a time; requantized by `native` lanes, which LLVM cannot split."""
    finished = sch.get_sblock("finish")
    *outer, inner = sch.get_loops(finished)
    fuse_outer(sch, outer)
    vectors, lane = sch.split(inner, [None, lanes])
    sch.vectorize(lane)
    for name, width in (("requantize", native), *((name, lanes) for name in differences)):
        block = sch.get_sblock(name)
        sch.set_scope(block, 0, "local")
        sch.compute_at(block, vectors)
        parts, lane = sch.split(sch.get_loops(block)[-1], [None, width])
        sch.vectorize(lane)
        sch.unroll(parts)
