"""Quantization by scales of the run: ranges reduced in vectors, and what reads the parameters element by element."""

from __future__ import annotations

from typing import Any

from tvm import s_tir, te, tirx
from tvm.script import tirx as T

from nnc_tvm.schedules.epilogue import apply_epilogue, clamp, const, epilogue_constants, round_half_away, round_half_even, run_time_values
from nnc_tvm.schedules.loops import fuse_outer, vectorize
from nnc_tvm.schedules.operators import DynamicPad, DynamicParameters, DynamicQuantize, DynamicRescale, Operator, TensorType
from nnc_tvm.schedules.rule import Choose, Stage
from nnc_tvm.schedules.rules.elementwise import dynamic_element
from nnc_tvm.schedules.rules.movement import bordered

Expr = Any


def stages(operator: Operator, target: Any, choose: Choose) -> tuple[Stage, ...] | None:
    """The rule for all four."""
    if isinstance(operator, DynamicParameters):
        return parameter_stages(operator, target, choose)
    if isinstance(operator, DynamicQuantize) and len(operator.inputs) == 2:
        return (quantize_stage(operator, target, choose),)
    if isinstance(operator, DynamicPad):
        return (pad_stage(operator, target),)
    if isinstance(operator, DynamicRescale):
        return (rescale_stage(operator, target),)
    return None


def parameter_stages(operator: DynamicParameters, target: Any, choose: Choose) -> tuple[Stage, ...]:
    """Each lane keeps its own extremes, then lanes are reduced to the parameters."""
    elements = operator.inputs[0].elements // operator.rows
    native = target.vector_bytes // 4
    lanes = choose("lanes", [native, 2 * native, 4 * native], 4 * native)
    while lanes > elements:
        lanes //= 2
    return (
        Stage(extremes(operator.rows, elements, lanes), (0,), (), TensorType((operator.rows, 2, lanes), "float32"), f"range of {lanes} lanes"),
        Stage(parameters(operator, lanes), (-1,), (), operator.output, "parameters"),
    )


def extremes(rows: int, n: int, lanes: int) -> Any:
    """PrimFunc (x (rows, n), y (rows, 2, lanes)): the lanes' minima and maxima, 0 among them. The last vector ends where the row does:
    some elements count twice."""
    vectors = -(-n // lanes)

    @T.prim_func(s_tir=True)
    def function(x: T.Buffer((rows, n), "float32"), y: T.Buffer((rows, 2, lanes), "float32")) -> None:  # type: ignore[valid-type]
        T.func_attr({"tirx.noalias": True})
        with T.sblock("extremes"):
            T.reads(x[0:rows, 0:n])
            T.writes(y[0:rows, 0:2, 0:lanes])
            for r in range(rows):
                for i in T.vectorized(lanes):
                    y[r, 0, i] = T.float32(0)
                for i in T.vectorized(lanes):
                    y[r, 1, i] = T.float32(0)
                for v in range(vectors):
                    for i in T.vectorized(lanes):
                        y[r, 0, i] = T.min(y[r, 0, i], x[r, T.min(v * lanes, n - lanes) + i])
                    for i in T.vectorized(lanes):
                        y[r, 1, i] = T.max(y[r, 1, i], x[r, T.min(v * lanes, n - lanes) + i])

    return function


def parameters(operator: DynamicParameters, lanes: int) -> Any:
    """PrimFunc (extremes (rows, 2, lanes), y (2, rows)): (zero points, scales) as DynamicParameters says."""
    rows = operator.rows

    def scale(low: Expr, high: Expr) -> Expr:
        found = te.max(const(0, "float32") - low, high) / const(127, "float32") if operator.symmetric else (high - low) / const(255, "float32")
        return tirx.Select(found > const(0, "float32"), found, const(1, "float32"))

    def zero_point(low: Expr, scale: Expr) -> Expr:
        if operator.symmetric:
            return const(0, "float32")
        below, middle = clamp(const(0, "float32") - low / scale, 0, 255, "float32"), const(128, "float32")
        return round_half_away(below - middle) if operator.half_away else round_half_even(below) - middle

    @T.prim_func(s_tir=True)
    def function(x: T.Buffer((rows, 2, lanes), "float32"), y: T.Buffer((2, rows), "float32")) -> None:  # type: ignore[valid-type]
        T.func_attr({"tirx.noalias": True})
        with T.sblock("parameters"):
            T.reads(x[0:rows, 0:2, 0:lanes])
            T.writes(y[0:2, 0:rows])
            for r in range(rows):
                y[0, r] = T.float32(0)
                y[1, r] = T.float32(0)
                for i in range(lanes):
                    y[0, r] = T.min(y[0, r], x[r, 0, i])
                    y[1, r] = T.max(y[1, r], x[r, 1, i])
                y[1, r] = scale(y[0, r], y[1, r])
                y[0, r] = zero_point(y[0, r], y[1, r])

    return function


def quantize_stage(operator: DynamicQuantize, target: Any, choose: Choose) -> Stage:
    rows = operator.inputs[1].shape[1]
    x = te.placeholder((rows, operator.output.elements // rows), "float32", name="x")
    p = te.placeholder((2, rows), "float32", name="parameters")

    sch = s_tir.Schedule(te.create_prim_func([x, p, te.compute(x.shape, lambda r, i: dynamic_element(operator, x[r, i], p[1, r], p[0, r]), name="y")]))
    lanes = choose("lanes", [target.vector_bytes // 4, target.vector_bytes // 2, 16, target.vector_bytes], 16)
    vectorize(sch, sch.get_loops(sch.get_sblock("y"))[-1], lanes)
    return Stage(sch.mod["main"], (0, 1), (), operator.output, "elementwise")


def pad_stage(operator: DynamicPad, target: Any) -> Stage:
    shape, (top, left, bottom, right) = operator.inputs[0].shape, operator.padding
    rows = operator.inputs[1].shape[1]
    p = te.placeholder((2, rows), "float32", name="parameters")
    each = shape[0] // rows
    function = bordered(shape, (0, top, left, 0), (0, bottom, right, 0), "int8", lambda index: p[0, index[0] // each].astype("int32").astype("int8"), [p],
                        target.vector_bytes)
    return Stage(function, (0, 1), (), operator.output, "pad")


def rescale_stage(operator: DynamicRescale, target: Any) -> Stage:
    *_, channels = operator.output.shape
    rows, epilogue = operator.rows, operator.epilogue
    shape = (rows, operator.output.elements // (rows * channels), channels)
    acc, p = te.placeholder(shape, "int32", name="acc"), te.placeholder((2, rows), "float32", name="parameters")
    constants = [values for _, values in epilogue_constants(epilogue, channels)]
    named = [te.placeholder((channels,), str(values.dtype), name=f"constant_{k}") for k, values in enumerate(constants)]

    def element(r: Expr, i: Expr, o: Expr) -> Expr:
        return apply_epilogue(epilogue, acc[r, i, o], run_time_values([c[o] for c in named], p[1, r], p[0, r]))

    sch = s_tir.Schedule(te.create_prim_func([acc, p, *named, te.compute(shape, element, name="y")]))
    *outer, inner = sch.get_loops(sch.get_sblock("y"))
    fuse_outer(sch, outer)
    vectorize(sch, inner, target.vector_bytes // 4)
    # element i of the result is written after its accumulator is read, and both take 4 bytes
    return Stage(sch.mod["main"].without_attr("tirx.noalias"), (0, 1), tuple(constants), operator.output, "rescale", (0,))
