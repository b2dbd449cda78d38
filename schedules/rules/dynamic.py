"""Quantization by scales of the run, but for the kernels of `dynamic_kernels`: borders, and sums that are rescaled by themselves."""

from __future__ import annotations

from typing import Any

from tvm import s_tir, te

from nnc_tvm.schedules.epilogue import apply_epilogue, epilogue_constants, run_time_values
from nnc_tvm.schedules.loops import fuse_outer, vectorize
from nnc_tvm.schedules.operators import DynamicPad, DynamicParameters, DynamicQuantize, DynamicRescale, Operator
from nnc_tvm.schedules.rule import Choose, Stage
from nnc_tvm.schedules.rules.dynamic_kernels import quantize_kernel, range_kernel
from nnc_tvm.schedules.rules.movement import bordered

Expr = Any


def stages(operator: Operator, target: Any, choose: Choose) -> tuple[Stage, ...] | None:
    """The rule for all four."""
    if isinstance(operator, DynamicParameters):
        return (Stage(range_kernel(operator, target), (0,), (), operator.output, "range"),)
    if isinstance(operator, DynamicQuantize) and len(operator.inputs) == 2:
        return (Stage(quantize_kernel(operator, target), (0, 1), (), operator.output, "quantize + pad" if any(operator.padding) else "quantize"),)
    if isinstance(operator, DynamicPad):
        return (pad_stage(operator, target),)
    if isinstance(operator, DynamicRescale):
        return (rescale_stage(operator, target),)
    return None


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
