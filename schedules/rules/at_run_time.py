"""Kernels whose epilogue has parameters of the run: a small stage makes them before the kernel, which reads them as it reads constants."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from tvm import s_tir, te, tirx

from nnc_tvm.schedules.candidates import Candidate
from nnc_tvm.schedules.epilogue import epilogue_constants, run_time_value
from nnc_tvm.schedules.loops import vectorize
from nnc_tvm.schedules.operators import Operator, TensorType
from nnc_tvm.schedules.operators.operator import WeightedSum
from nnc_tvm.schedules.quantization import RescaleAtRunTime
from nnc_tvm.schedules.rule import Stage


def rows_of(operator: Operator) -> int:
    """The rows of the run's parameters that the epilogue has, 0 where it has none."""
    return operator.inputs[-1].shape[1] if isinstance(operator, WeightedSum) and isinstance(operator.epilogue, RescaleAtRunTime) else 0


def at_run_time(operator: Operator, candidate: Candidate, target: Any) -> Candidate:
    """`candidate` for parameters of one row: its last stage with constants ends them with those of the epilogue. As it is for no or several rows."""
    if rows_of(operator) != 1:
        return candidate
    assert isinstance(operator, WeightedSum)
    return replace(candidate, build=lambda choose: with_values(operator, candidate.build(choose), target))


def with_values(operator: WeightedSum, stages: tuple[Stage, ...], target: Any) -> tuple[Stage, ...]:
    """`stages` behind those that make the values of the epilogue's first row, in the order and with the padding of its constants."""
    count = len(epilogue_constants(operator.epilogue, operator.bias.size)) - 1  # the bias stays what it is
    last = max(k for k, stage in enumerate(stages) if stage.constants)
    kernel = stages[last]
    made = [value_stage(values, len(operator.inputs) - 1, target) for values in kernel.constants[-count:]]
    shifted = [replace(stage, inputs=tuple(i if i >= 0 else i - count for i in stage.inputs)) for stage in stages]
    function, first = kernel.function, len(kernel.inputs) + len(kernel.constants) - count
    parameters = list(function.params)
    moved = [*parameters[:len(kernel.inputs)], *parameters[first:first + count], *parameters[len(kernel.inputs):first], *parameters[first + count:]]
    shifted[last] = replace(shifted[last], function=tirx.PrimFunc(moved, function.body, function.ret_type, attrs=function.attrs),
                            inputs=(*shifted[last].inputs, *range(-1, -1 - count, -1)), constants=kernel.constants[:-count])
    return (*made, *shifted)


def value_stage(constant: np.ndarray, source: int, target: Any) -> Stage:
    """The stage that makes a value of the epilogue from its constant and input `source`, the run's parameters."""
    p, x = te.placeholder((2, 1), "float32", name="parameters"), te.placeholder((constant.size,), str(constant.dtype), name="constant")
    y = te.compute(x.shape, lambda o: run_time_value(x[o], p[1, 0], p[0, 0]), name="y")
    sch = s_tir.Schedule(te.create_prim_func([p, x, y]))
    vectorize(sch, sch.get_loops(sch.get_sblock("y"))[-1], target.vector_bytes // 4)
    kernel = "scales" if constant.dtype == np.float32 else "zero points"
    return Stage(sch.mod["main"], (source,), (constant.reshape(-1),), TensorType(constant.shape, str(constant.dtype)), kernel)
