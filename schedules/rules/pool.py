"""Pooling and means: channels are the vector axis."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from tvm import s_tir, te, tirx

from nnc_tvm.schedules.epilogue import apply_epilogue, clamp, const, epilogue_constants
from nnc_tvm.schedules.operators import AveragePool2d, MaxPool2d, Mean, Operator, TensorType
from nnc_tvm.schedules.operators.patches import padded_copy
from nnc_tvm.schedules.quantization import FloatClamp
from nnc_tvm.schedules.rule import Choose, Stage
from nnc_tvm.schedules.rules.vectorize import vectorize_tile

Expr = Any


def windows(operator: Any, dilation: tuple[int, int], value: float) -> tuple[list[Stage], Any, tuple[int, int, int]]:
    """(the padding stage or none, the placeholder the pooling reads, its shape): rows flattened over columns and channels."""
    n, h, w, c = operator.inputs[0].shape
    dtype = operator.inputs[0].dtype
    _, oh, ow, _ = operator.output.shape
    (kh, kw), (sh, sw), (top, left, _, _) = operator.kernel, operator.strides, operator.padding
    rows, columns = (oh - 1) * sh + (kh - 1) * dilation[0] + 1, (ow - 1) * sw + (kw - 1) * dilation[1] + 1
    shape = (n, h, w * c)
    if not any(operator.padding) and rows <= h and columns <= w:
        return [], te.placeholder(shape, dtype, name="x"), shape
    shape = (n, rows, columns * c)
    copy = padded_copy((n, h, w * c), shape, top, left * c, value, (dtype, dtype), 16 if dtype == "int8" else 4)
    return [Stage(copy, (0,), (), TensorType(shape, dtype), "pad")], te.placeholder(shape, dtype, name="x"), shape


def max_pool_stages(operator: Operator, target: Any, choose: Choose) -> tuple[Stage, ...] | None:
    """The rule for MaxPool2d."""
    if not isinstance(operator, MaxPool2d):
        return None
    dtype, c = operator.output.dtype, operator.output.shape[3]
    lowest = -128 if dtype == "int8" else -math.inf
    made, x, _ = windows(operator, operator.dilation, lowest)
    (kh, kw), (sh, sw), (dh, dw) = operator.kernel, operator.strides, operator.dilation
    rh, rw = te.reduce_axis((0, kh), "kh"), te.reduce_axis((0, kw), "kw")
    acc = te.compute(operator.output.shape, lambda b, i, j, o: te.max(x[b, i * sh + rh * dh, (j * sw + rw * dw) * c + o], axis=[rh, rw]), name="accumulate")
    y = te.compute(operator.output.shape, lambda *i: clamp(acc(*i), operator.low, operator.high, dtype), name="epilogue")
    sch = apply(s_tir.Schedule(te.create_prim_func([x, y])), c, target.vector_bytes // (1 if dtype == "int8" else 4))
    return (*made, Stage(sch.mod["main"], (-1,) if made else (0,), (), operator.output, "max_pool"))


def divide_half_away(acc: Expr, count: Expr) -> Expr:
    """acc / count, halves away from zero; int32."""
    half = tirx.truncdiv(count, const(2, "int32"))
    return tirx.truncdiv(acc + tirx.Select(acc > const(0, "int32"), half, const(0, "int32") - half), count)


def average_pool_stages(operator: Operator, target: Any, choose: Choose) -> tuple[Stage, ...] | None:
    """The rule for AveragePool2d."""
    if not isinstance(operator, AveragePool2d):
        return None
    n, oh, ow, c = operator.output.shape
    x_dtype = operator.inputs[0].dtype
    acc_dtype = "int32" if x_dtype == "int8" else "float32"
    made, x, _ = windows(operator, (1, 1), operator.input_zero_point)
    counts = window_counts(operator)
    epilogue = operator.epilogue
    constants = [("count", counts.astype(acc_dtype))] if epilogue is None or isinstance(epilogue, FloatClamp) else epilogue_constants(epilogue, oh * ow)
    parameters = [te.placeholder(v.shape, str(v.dtype), name=name) for name, v in constants]
    (kh, kw), (sh, sw), z = operator.kernel, operator.strides, const(operator.input_zero_point, acc_dtype)
    rh, rw = te.reduce_axis((0, kh), "kh"), te.reduce_axis((0, kw), "kw")
    acc = te.compute((n, oh, ow, c), lambda b, i, j, o: te.sum(x[b, i * sh + rh, (j * sw + rw) * c + o].astype(acc_dtype) - z, axis=[rh, rw]), name="accumulate")

    def finish(b: Expr, i: Expr, j: Expr, o: Expr) -> Expr:
        value, position = acc[b, i, j, o], i * ow + j
        if epilogue is None:
            return clamp(divide_half_away(value, parameters[0][position]) + z, operator.low, operator.high, "int32").astype("int8")
        if isinstance(epilogue, FloatClamp):
            return apply_epilogue(epilogue, value / parameters[0][position], [])
        return apply_epilogue(epilogue, value, [p[position] for p in parameters])

    y = te.compute((n, oh, ow, c), finish, name="epilogue")
    sch = apply(s_tir.Schedule(te.create_prim_func([x, *parameters, y])), c, target.vector_bytes // 4)
    return (*made, Stage(sch.mod["main"], (-1,) if made else (0,), tuple(v for _, v in constants), operator.output, "average_pool"))


def window_counts(operator: AveragePool2d) -> np.ndarray:
    """How many elements each window averages, int32 (OH * OW,)."""
    _, h, w, _ = operator.inputs[0].shape
    _, oh, ow, _ = operator.output.shape
    if operator.count_include_pad:
        return np.full(oh * ow, math.prod(operator.kernel), np.int32)
    per_axis = []
    for axis, (extent, out) in enumerate(((h, oh), (w, ow))):
        first = np.arange(out) * operator.strides[axis] - operator.padding[axis]
        per_axis.append(np.minimum(first + operator.kernel[axis], extent) - np.maximum(first, 0))
    return np.outer(*per_axis).reshape(-1).astype(np.int32)


def mean_stages(operator: Operator, target: Any, choose: Choose) -> tuple[Stage, ...] | None:
    """The rule for Mean."""
    if not isinstance(operator, Mean):
        return None
    shape, dtype = operator.inputs[0].shape, operator.inputs[0].dtype
    acc_dtype = "int32" if dtype == "int8" else "float32"
    kept = [i for i in range(len(shape)) if i not in operator.axes]
    out = tuple(shape[i] for i in kept) or (1,)
    x = te.placeholder(shape, dtype, name="x")
    axes = [te.reduce_axis((0, shape[i]), f"r{i}") for i in operator.axes]
    z, count = const(operator.input_zero_point, acc_dtype), math.prod(shape[i] for i in operator.axes)

    def element(*index: Expr) -> Expr:
        at: list[Expr] = [None] * len(shape)
        for i, v in zip(kept, index, strict=False):
            at[i] = v
        for i, r in zip(operator.axes, axes, strict=True):
            at[i] = r
        return te.sum(x[tuple(at)].astype(acc_dtype) - z, axis=axes)

    acc = te.compute(out, element, name="accumulate")
    constants = epilogue_constants(operator.epilogue, 1)
    parameters = [const(v[0].item(), str(v.dtype)) for _, v in constants]
    float_form = isinstance(operator.epilogue, FloatClamp)
    y = te.compute(out, lambda *i: apply_epilogue(operator.epilogue, acc(*i) / const(count, "float32") if float_form else acc(*i), parameters), name="epilogue")
    sch = s_tir.Schedule(te.create_prim_func([x, y]))
    if len(shape) - 1 in kept:
        apply(sch, out[-1], target.vector_bytes // 4)
    else:
        sch.set_scope(sch.get_sblock("accumulate"), 0, "local")
        sch.reverse_compute_at(sch.get_sblock("epilogue"), sch.get_loops(sch.get_sblock("accumulate"))[len(out) - 1])
    return (Stage(sch.mod["main"], (0,), (), operator.output, "mean"),)


def apply(sch: s_tir.Schedule, channels: int, lanes: int) -> s_tir.Schedule:
    """Blocks of channels outermost but for the pixels; the window is reduced in registers."""
    accumulate, epilogue = sch.get_sblock("accumulate"), sch.get_sblock("epilogue")
    sch.set_scope(accumulate, 0, "local")
    loops = sch.get_loops(accumulate)
    spatial = len(sch.get_loops(epilogue))
    block = next((v for v in (lanes * 2, lanes, 4) if channels % v == 0), 1)
    outer, inner = sch.split(loops[spatial - 1], [None, block])
    sch.reorder(*loops[:spatial - 1], outer, *loops[spatial:], inner)
    sch.reverse_compute_at(epilogue, outer)
    if block > 1:
        sch.vectorize(inner)
    init = sch.decompose_reduction(accumulate, loops[spatial])
    if block > 1:
        vectorize_tile(sch, init, block)
        vectorize_tile(sch, epilogue, block)
    return sch
