"""Pooling and means: channels are the vector axis, a window is reduced in registers."""

from __future__ import annotations

import math
from typing import Any

from tvm import s_tir, te, tirx

from nnc_tvm.schedules.arithmetic import clamp, const
from nnc_tvm.schedules.epilogue import apply_epilogue, epilogue_constants
from nnc_tvm.schedules.loops import inline_epilogue
from nnc_tvm.schedules.operators import AveragePool2d, MaxPool2d, Mean, Operator, Sum, TensorType
from nnc_tvm.schedules.quantization import FloatClamp
from nnc_tvm.schedules.rule import Choose, Stage
from nnc_tvm.schedules.rules.input_patches import padded_copy

Expr = Any
INTEGER_LANES = 16  # int32 sums of one vector of bytes
EXACT_IN_FLOAT = 1 << 24  # integers up to here are float32 values


def windows(operator: MaxPool2d | AveragePool2d, dilation: tuple[int, int], border: float) -> tuple[tuple[Stage, ...], Any]:
    """(the stage that surrounds the image with `border`, or none; the placeholder (N, H, W, C) that the pooling reads)."""
    n, h, w, c = operator.inputs[0].shape
    dtype = operator.inputs[0].dtype
    _, oh, ow, _ = operator.output.shape
    (kh, kw), (sh, sw), (top, left, _, _) = operator.kernel, operator.strides, operator.padding
    rows, columns = (oh - 1) * sh + (kh - 1) * dilation[0] + 1, (ow - 1) * sw + (kw - 1) * dilation[1] + 1
    if not any(operator.padding):
        return (), te.placeholder((n, h, w, c), dtype, name="x")
    copy = padded_copy((n, h, w * c), (rows, columns * c), top, left * c, border, n * rows * columns * c, (dtype, dtype))
    return (Stage(copy, (0,), (), TensorType((n, rows, columns, c), dtype), "pad"),), te.placeholder((n, rows, columns, c), dtype, name="x")


def max_pool(operator: Operator, target: Any, choose: Choose) -> tuple[Stage, ...] | None:
    """The rule for MaxPool2d."""
    if not isinstance(operator, MaxPool2d):
        return None
    dtype = operator.output.dtype
    (kh, kw), (sh, sw), (dh, dw) = operator.kernel, operator.strides, operator.dilation
    rh, rw = te.reduce_axis((0, kh), "kh"), te.reduce_axis((0, kw), "kw")
    if meets_image(operator):
        made: tuple[Stage, ...] = ()
        (_, h, w, _), (top, left, _, _) = operator.inputs[0].shape, operator.padding
        x = te.placeholder(operator.inputs[0].shape, dtype, name="x")

        def element(b: Expr, i: Expr, j: Expr, c: Expr) -> Expr:
            return x[b, te.max(te.min(i * sh + rh - top, h - 1), 0), te.max(te.min(j * sw + rw - left, w - 1), 0), c]
    else:
        made, x = windows(operator, operator.dilation, -128 if dtype == "int8" else -math.inf)

        def element(b: Expr, i: Expr, j: Expr, c: Expr) -> Expr:
            return x[b, i * sh + rh * dh, j * sw + rw * dw, c]

    largest = te.compute(operator.output.shape, lambda *i: te.max(element(*i), axis=[rh, rw]), name="accumulate")
    y = te.compute(operator.output.shape, lambda *i: clamp(largest(*i), operator.low, operator.high, dtype), name="epilogue")
    function = apply(s_tir.Schedule(te.create_prim_func([x, y])), target.vector_bytes if dtype == "int8" else target.vector_bytes // 4, choose).mod["main"]
    return (*made, Stage(function, (-1,) if made else (0,), (), operator.output, "max pool"))


def meets_image(operator: MaxPool2d) -> bool:
    """Whether what a window has beyond the image may be taken from the image's nearest pixel: where the window has that one, too."""
    axes = zip(operator.kernel, operator.strides, operator.padding, operator.inputs[0].shape[1:3], operator.output.shape[1:3], strict=False)
    return operator.dilation == (1, 1) and all(before < kernel and (out - 1) * stride - before < size for kernel, stride, before, size, out in axes)


def divide_half_away(acc: Expr, count: Expr, largest: int) -> Expr:
    """acc / count in int32, halves away from zero; |acc| + count / 2 <= largest.

    CPUs have no vector division of integers. In float32 the quotient a / b of integers below 2^24 truncates to the right one: where b
    does not divide a, it is at least 1 / b away from the next integer, and 1 / b > 2^-24 a / b.
    """
    half = count >> const(1, "int32")
    numerator = acc + tirx.Select(acc < const(0, "int32"), const(0, "int32") - half, half)
    if largest >= EXACT_IN_FLOAT:
        return tirx.truncdiv(numerator, count)
    # truncated as a float first: TVM's analyzer mistakes the bounds of a float division for those of an integer one
    return tirx.trunc(numerator.astype("float32") / count.astype("float32")).astype("int32")


def average_pool(operator: Operator, target: Any, choose: Choose) -> tuple[Stage, ...] | None:
    """The rule for AveragePool2d."""
    if not isinstance(operator, AveragePool2d):
        return None
    shape, epilogue = operator.output.shape, operator.epilogue
    positions, width = shape[1] * shape[2], shape[2]
    acc_dtype = "int32" if operator.inputs[0].dtype == "int8" else "float32"
    made, x = windows(operator, (1, 1), operator.input_zero_point)
    if epilogue is None or isinstance(epilogue, FloatClamp):
        constants = [operator.counts.astype(acc_dtype)]
    else:
        constants = [values for _, values in epilogue_constants(epilogue, positions)]
    parameters = [te.placeholder(v.shape, str(v.dtype), name=f"parameter{k}") for k, v in enumerate(constants)]
    (kh, kw), (sh, sw), zero_point = operator.kernel, operator.strides, const(operator.input_zero_point, acc_dtype)
    rh, rw = te.reduce_axis((0, kh), "kh"), te.reduce_axis((0, kw), "kw")
    acc = te.compute(shape, lambda b, i, j, c: te.sum(x[b, i * sh + rh, j * sw + rw, c].astype(acc_dtype) - zero_point, axis=[rh, rw]), name="accumulate")

    def element(b: Expr, i: Expr, j: Expr, c: Expr) -> Expr:
        at = [p[i * width + j] for p in parameters]
        if epilogue is None:
            mean = divide_half_away(acc[b, i, j, c], at[0], 256 * kh * kw)
            return clamp(mean + zero_point, operator.low, operator.high, "int32").astype("int8")
        if isinstance(epilogue, FloatClamp):
            return apply_epilogue(epilogue, acc[b, i, j, c] / at[0], [])
        return apply_epilogue(epilogue, acc[b, i, j, c], at)

    y = te.compute(shape, element, name="epilogue")
    lanes = INTEGER_LANES if acc_dtype == "int32" else target.vector_bytes // 4
    function = apply(s_tir.Schedule(te.create_prim_func([x, *parameters, y])), lanes, choose).mod["main"]
    return (*made, Stage(function, (-1,) if made else (0,), tuple(constants), operator.output, "average pool"))


def mean(operator: Operator, target: Any, choose: Choose) -> tuple[Stage, ...] | None:
    """The rule for Mean and Sum."""
    if not isinstance(operator, Mean | Sum):
        return None
    shape, dtype, reduced = operator.inputs[0].shape, operator.inputs[0].dtype, {axis % len(operator.inputs[0].shape) for axis in operator.axes}
    acc_dtype = "int32" if dtype == "int8" else "float32"
    kept = [axis for axis in range(len(shape)) if axis not in reduced]
    extents = tuple(shape[axis] for axis in kept) or (1,)
    x = te.placeholder(shape, dtype, name="x")
    axes = {axis: te.reduce_axis((0, shape[axis]), f"r{axis}") for axis in sorted(reduced)}
    zero_point, count = const(operator.input_zero_point, acc_dtype), math.prod(shape[axis] for axis in reduced)

    def total(*index: Expr) -> Expr:
        at = {**dict(zip(kept, index, strict=False)), **axes}
        return te.sum(x[tuple(at[axis] for axis in range(len(shape)))].astype(acc_dtype) - zero_point, axis=list(axes.values()))

    def element(*index: Expr) -> Expr:
        value = acc(*index)
        return inline_epilogue(operator.epilogue, value / const(count, "float32") if isinstance(operator.epilogue, FloatClamp) else value)

    acc = te.compute(extents, total, name="accumulate")
    y = te.compute(extents, element, name="epilogue")
    lanes = 1 if len(shape) - 1 in reduced else INTEGER_LANES if acc_dtype == "int32" else target.vector_bytes // 4
    function = apply(s_tir.Schedule(te.create_prim_func([x, y])), lanes, choose).mod["main"]
    return (Stage(function, (0,), (), operator.output, operator.kind),)


def widest(extent: int, lanes: int) -> int:
    """`lanes`, half or a quarter of it: by which a row of `extent` elements is the fewest vectors and elements behind the last."""
    return min((lanes, lanes // 2, lanes // 4), key=lambda each: extent // each + extent % each)


def apply(sch: s_tir.Schedule, lanes: int, choose: Choose) -> s_tir.Schedule:
    """A vector of channels at a time: reduced in registers, then finished. lanes 1: the channels are among what is reduced."""
    accumulate, epilogue = sch.get_sblock("accumulate"), sch.get_sblock("epilogue")
    sch.set_scope(accumulate, 0, "local")
    loops, count = sch.get_loops(accumulate), len(sch.get_loops(epilogue))
    channels = loops[count - 1]
    extent = int(sch.get(channels).extent)
    lanes = min(choose("lanes", [lanes // 4, lanes // 2, lanes, lanes * 2], widest(extent, lanes)), 1 << (extent.bit_length() - 1)) if lanes > 1 else 1
    outer, vector = sch.split(channels, [None, lanes])
    sch.reorder(*loops[:count - 1], outer, *loops[count:], vector)
    sch.reverse_compute_at(epilogue, outer)
    if extent % lanes:
        sch.annotate(outer, "pragma_loop_partition_hint", 1)
    if lanes > 1:
        sch.vectorize(vector)
    init = sch.decompose_reduction(accumulate, loops[count])
    if lanes > 1:
        sch.vectorize(sch.get_loops(init)[-1])
        sch.vectorize(sch.get_loops(epilogue)[-1])
    return sch
