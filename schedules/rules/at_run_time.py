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


def prepared(operator: Operator) -> Operator:
    """`operator` as the forms build it: where the parameters have one row, a stage before the kernel takes the zero point's share from its bias."""
    if rows_of(operator) != 1:
        return operator
    assert isinstance(operator, WeightedSum) and isinstance(operator.epilogue, RescaleAtRunTime)
    return replace(operator, epilogue=replace(operator.epilogue, in_bias=True))


def at_run_time(operator: Operator, candidate: Candidate, target: Any) -> Candidate:
    """`candidate` of the `prepared` operator, for parameters of one row; as it is for no or several rows.

    The last stage with constants ends them with its bias and those of the epilogue, all in one order and with one padding.
    """
    if rows_of(operator) != 1:
        return candidate
    assert isinstance(operator, WeightedSum)
    return replace(candidate, build=lambda choose: with_values(operator, candidate.build(choose), target))


def with_values(operator: WeightedSum, stages: tuple[Stage, ...], target: Any) -> tuple[Stage, ...]:
    """`stages` behind those that make the epilogue's scales and, where there are zero points, the kernel's bias."""
    count = len(epilogue_constants(operator.epilogue, operator.bias.size))
    last = max(k for k, stage in enumerate(stages) if stage.constants)
    kernel = stages[last]
    first, end = len(kernel.inputs), len(kernel.constants)
    bias, _, scale, *sums = range(end - count - 1, end)
    source = len(operator.inputs) - 1
    made, computed = [scale_stage(kernel.constants[scale], source, target)], [scale]
    if sums:
        made.append(bias_stage(kernel.constants[bias], kernel.constants[sums[0]], source, target))
        computed.append(bias)
    shifted = [replace(stage, inputs=tuple(i if i >= 0 else i - len(made) for i in stage.inputs)) for stage in stages]
    parameters = list(kernel.function.params)
    kept = [k for k in range(end) if k not in (*computed, *sums)]
    moved = [*parameters[:first], *(parameters[first + k] for k in (*computed, *kept)), *parameters[first + end:]]
    function = tirx.PrimFunc(moved, kernel.function.body, kernel.function.ret_type, attrs=kernel.function.attrs)
    shifted[last] = replace(shifted[last], function=function, inputs=(*shifted[last].inputs, *range(-1, -1 - len(made), -1)),
                            constants=tuple(kernel.constants[k] for k in kept))
    return (*made, *shifted)


def scale_stage(constant: np.ndarray, source: int, target: Any) -> Stage:
    """The stage that multiplies the scales by the row's; `source`: the input that has the run's parameters."""
    p, x = te.placeholder((2, 1), "float32", name="parameters"), te.placeholder((constant.size,), "float32", name="constant")
    y = te.compute(x.shape, lambda o: run_time_value(x[o], p[1, 0], p[0, 0]), name="y")
    return stage_of([p, x, y], (constant.reshape(-1),), TensorType(constant.shape, "float32"), "scales", source, target)


def bias_stage(bias: np.ndarray, sums: np.ndarray, source: int, target: Any) -> Stage:
    """The stage that makes bias - zero_point * sums."""
    p, x, s = te.placeholder((2, 1), "float32", name="parameters"), *(te.placeholder((bias.size,), "int32", name=name) for name in ("bias", "sums"))
    y = te.compute(x.shape, lambda o: x[o] - run_time_value(s[o], p[1, 0], p[0, 0]), name="y")
    return stage_of([p, x, s, y], (bias.reshape(-1), sums.reshape(-1)), TensorType(bias.shape, "int32"), "zero points", source, target)


def stage_of(tensors: list[Any], constants: tuple[np.ndarray, ...], output: TensorType, kernel: str, source: int, target: Any) -> Stage:
    """An element-wise stage over channels; the last tensor is y."""
    sch = s_tir.Schedule(te.create_prim_func(tensors))
    vectorize(sch, sch.get_loops(sch.get_sblock("y"))[-1], target.vector_bytes // 4)
    return Stage(sch.mod["main"], (source,), constants, output, kernel)
