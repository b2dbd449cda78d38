"""The range of a tensor, reduced in vectors: each lane keeps its own extremes, then lanes are reduced to the parameters."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T

from nnc_tvm.schedules.epilogue import round_half_even
from nnc_tvm.schedules.operators import Operator, TensorType
from nnc_tvm.schedules.operators.dynamic import DynamicParameters
from nnc_tvm.schedules.rule import Choose, Stage


def stages(operator: Operator, target: Any, choose: Choose) -> tuple[Stage, ...] | None:
    """The rule for DynamicParameters."""
    if not isinstance(operator, DynamicParameters):
        return None
    elements = operator.inputs[0].elements
    native = target.vector_bytes // 4
    lanes = choose("lanes", [native, 2 * native, 4 * native], 4 * native)
    while lanes > elements:
        lanes //= 2
    return (
        Stage(extremes(elements, lanes), (0,), (), TensorType((2, lanes), "float32"), f"range of {lanes} lanes"),
        Stage(parameters(lanes), (-1,), (), operator.output, "parameters"),
    )


def extremes(n: int, lanes: int) -> Any:
    """PrimFunc (x (n,), y (2, lanes)): the lanes' minima and maxima, 0 among them. The last vector ends where x does: some elements count twice."""
    vectors = -(-n // lanes)

    @T.prim_func(s_tir=True)
    def function(x: T.Buffer((n,), "float32"), y: T.Buffer((2, lanes), "float32")) -> None:  # type: ignore[valid-type]
        T.func_attr({"tirx.noalias": True})
        with T.sblock("extremes"):
            T.reads(x[0:n])
            T.writes(y[0:2, 0:lanes])
            for i in T.vectorized(lanes):
                y[0, i] = T.float32(0)
            for i in T.vectorized(lanes):
                y[1, i] = T.float32(0)
            for v in range(vectors):
                for i in T.vectorized(lanes):
                    y[0, i] = T.min(y[0, i], x[T.min(v * lanes, n - lanes) + i])
                for i in T.vectorized(lanes):
                    y[1, i] = T.max(y[1, i], x[T.min(v * lanes, n - lanes) + i])

    return function


def parameters(lanes: int) -> Any:
    """PrimFunc (extremes (2, lanes), y (2,)): (zero point, scale) as DynamicParameters says."""

    @T.prim_func(s_tir=True)
    def function(x: T.Buffer((2, lanes), "float32"), y: T.Buffer((2,), "float32")) -> None:  # type: ignore[valid-type]
        T.func_attr({"tirx.noalias": True})
        with T.sblock("parameters"):
            T.reads(x[0:2, 0:lanes])
            T.writes(y[0:2])
            y[0] = T.float32(0)
            y[1] = T.float32(0)
            for i in range(lanes):
                y[0] = T.min(y[0], x[0, i])
                y[1] = T.max(y[1], x[1, i])
            y[1] = (y[1] - y[0]) / T.float32(255)
            y[1] = T.Select(y[1] > T.float32(0), y[1], T.float32(1))
            y[0] = round_half_even(T.max(T.min(T.float32(0) - y[0] / y[1], T.float32(255)), T.float32(0))) - T.float32(128)

    return function
