"""Products of two activations: the right one is packed at run time, then it is a contraction with weights of its own for every image.

sum over k of (a - za) * (c - zc)  =  sum of a * c  -  zc * sum of a  +  za * sum of (zc - c)

The second sum is a term of each row and the third the bias of each column: small stages of their own, where the zero points need them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from tvm.script import tirx as T

from nnc_tvm.schedules.epilogue import epilogue_constants
from nnc_tvm.schedules.loops import round_up
from nnc_tvm.schedules.operators import MatMul, Operator, TensorType
from nnc_tvm.schedules.rule import Choose, Stage
from nnc_tvm.schedules.rules.contraction import instructions, per_group, prepare_x
from nnc_tvm.schedules.rules.contraction_kernel import contraction_kernel
from nnc_tvm.schedules.rules.contraction_plan import Contraction, Plan, make_plan
from nnc_tvm.schedules.rules.row_terms import row_terms


def stages(operator: Operator, target: Any, choose: Choose) -> tuple[Stage, ...] | None:
    """The rule for MatMul, integer and float."""
    if not isinstance(operator, MatMul):
        return None
    (b, m, k), (_, _, o) = [t.shape for t in operator.inputs]
    dtype = operator.inputs[0].dtype
    za, zc = operator.zero_points
    # any right operand may come: only instructions that are exact for all of int8, and whose sums are what the equation says
    candidates = tuple(isa for isa in instructions(target.features, dtype) if isa.weight_low <= -128 and not isa.x_offset)
    c = Contraction((b, 1, m, k), (b, 1, m, o), np.zeros((o, 1, 1, k), dtype), np.zeros(o, np.int32), operator.epilogue, 0, dtype,
                    own_weights=True, row_terms=zc != 0)
    plan = make_plan(c, candidates, choose)
    if plan is None:
        return None
    isa, padded_rows = plan.isa, round_up(m, plan.tile.pixels)
    made = list(prepare_x(c, plan.isa, plan.tile.pixels))
    inputs = [-len(made)]

    def add(stage: Stage) -> None:
        made.append(stage)
        inputs.append(-len(made))

    if zc:
        add(Stage(row_terms((b, m, k), padded_rows, -zc), (0,), (), TensorType((b, padded_rows), "int32"), "row sums"))
    add(Stage(pack(operator, plan), (1,), (), TensorType((math.prod(plan.packed_shape),), isa.w_dtype), "pack"))
    constants = [per_group(values, 1, plan.channels) for _, values in epilogue_constants(c.epilogue, o)]
    if za:
        add(Stage(column_terms((b, k, o), plan.channels, za, zc), (1,), (), TensorType((b, plan.channels), "int32"), "column sums"))
    biases = [] if za else [np.zeros((b, plan.channels), isa.acc_dtype)]
    function = contraction_kernel(c, plan, constants, choose)
    return (*made, Stage(function, tuple(inputs), (*biases, *constants), operator.output, plan.name))


def pack(operator: MatMul, plan: Plan) -> Any:
    """PrimFunc (c (B, K, O), packed as `Plan.packed_shape`): zeros beyond K and O."""
    isa, dtype = plan.isa, operator.inputs[1].dtype
    w_dtype, depth = isa.w_dtype, isa.depth
    b, k, o = operator.inputs[1].shape
    _, tiles, _, _, steps, vectors, outer, lanes, inner = plan.packed_shape
    shape = (b, tiles, steps, vectors, outer, lanes, inner)

    @T.prim_func(s_tir=True)
    def function(c: T.Buffer((b, k, o), dtype), packed: T.Buffer(shape, w_dtype)) -> None:  # type: ignore[valid-type]
        T.func_attr({"tirx.noalias": True})
        with T.sblock("pack"):
            T.reads(c[0:b, 0:k, 0:o])
            T.writes(packed[0:b, 0:tiles, 0:steps, 0:vectors, 0:outer, 0:lanes, 0:inner])
            for n in T.parallel(b):
                # whole tiles are a loop of their own, without the conditions
                for t in T.parallel(tiles, annotations={"pragma_loop_partition_hint": 1}):
                    for s in T.serial(steps, annotations={"pragma_loop_partition_hint": 1}):
                        for v, q, lane, r in T.grid(vectors, outer, lanes, inner):
                            if s * depth + q * inner + r < k and (t * vectors + v) * lanes + lane < o:
                                packed[n, t, s, v, q, lane, r] = T.Cast(w_dtype, c[n, s * depth + q * inner + r, (t * vectors + v) * lanes + lane])
                            else:
                                packed[n, t, s, v, q, lane, r] = T.Cast(w_dtype, 0)

    return function


def column_terms(shape: tuple[int, int, int], padded: int, za: int, zc: int) -> Any:
    """PrimFunc (c (B, K, O), y (B, padded)): y[b, o] = za * sum over k of (zc - c[b, k, o]); 0 for columns that do not exist."""
    b, k, o = shape

    @T.prim_func(s_tir=True)
    def function(c: T.Buffer((b, k, o), "int8"), y: T.Buffer((b, padded), "int32")) -> None:  # type: ignore[valid-type]
        T.func_attr({"tirx.noalias": True})
        with T.sblock("columns"):
            T.reads(c[0:b, 0:k, 0:o])
            T.writes(y[0:b, 0:padded])
            for n in T.parallel(b):
                for j in range(padded):
                    y[n, j] = 0
                for e, j in T.grid(k, o):
                    y[n, j] = y[n, j] + (zc - T.Cast("int32", c[n, e, j])) * za

    return function
