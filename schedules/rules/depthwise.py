"""Depthwise convolution: channels are the vector axis, a row of pixels shares its weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import s_tir, te

from nnc_tvm.schedules.epilogue import apply_epilogue, epilogue_constants
from nnc_tvm.schedules.operators import DepthwiseConv2d, Operator, TensorType
from nnc_tvm.schedules.operators.patches import padded_copy
from nnc_tvm.schedules.rule import Choose, Stage
from nnc_tvm.schedules.rules.vectorize import vectorize_tile


def stages(operator: Operator, target: Any, choose: Choose) -> tuple[Stage, ...] | None:
    """The rule for DepthwiseConv2d, integer and float."""
    if not isinstance(operator, DepthwiseConv2d):
        return None
    n, h, w, channels = operator.inputs[0].shape
    _, oh, ow, out = operator.output.shape
    (kh, kw), (sh, sw), (dh, dw), (top, left, _, _) = operator.kernel, operator.strides, operator.dilation, operator.padding
    multiplier = out // channels
    acc_dtype = "float32" if operator.weight.dtype == np.float32 else "int32"
    x_dtype = operator.inputs[0].dtype
    weight = operator.weight if acc_dtype == "float32" else operator.weight.astype(np.int16)
    bias = operator.bias if acc_dtype == "float32" else operator.bias.astype(np.int64) - operator.input_zero_point * operator.weight.astype(np.int64).sum((0, 1))
    constants = [("bias", bias.astype(acc_dtype)), *epilogue_constants(operator.epilogue, out)]
    rows, row = (oh - 1) * sh + (kh - 1) * dh + 1, (ow - 1) * sw + (kw - 1) * dw + 1
    made: list[Stage] = []
    shape = (n, h, w * channels)
    if any(operator.padding) or rows > h or row > w:
        shape = (n, rows, row * channels)
        copy = padded_copy((n, h, w * channels), shape, top, left * channels, operator.input_zero_point, (x_dtype, x_dtype), 16 if x_dtype == "int8" else 4)
        made.append(Stage(copy, (0,), (), TensorType(shape, x_dtype), "pad"))
    x = te.placeholder(shape, x_dtype, name="x")
    weights = te.placeholder(weight.shape, str(weight.dtype), name="weights")
    parameters = [te.placeholder(v.shape, str(v.dtype), name=name) for name, v in constants]
    rh, rw = te.reduce_axis((0, kh), "kh"), te.reduce_axis((0, kw), "kw")
    acc = te.compute((n, oh, ow, out), lambda b, i, j, o: te.sum(
        x[b, i * sh + rh * dh, (j * sw + rw * dw) * channels + (o if multiplier == 1 else o // multiplier)].astype(acc_dtype) * weights[rh, rw, o].astype(acc_dtype), axis=[rh, rw]), name="accumulate")
    y = te.compute((n, oh, ow, out), lambda b, i, j, o: apply_epilogue(operator.epilogue, acc[b, i, j, o] + parameters[0][o], [p[o] for p in parameters[1:]]), name="epilogue")
    lanes = 16 if target.vector_bytes == 32 else 8
    sch = apply(s_tir.Schedule(te.create_prim_func([x, weights, *parameters, y])), out, lanes, ow, choose)
    made.append(Stage(sch.mod["main"], (-1,) if made else (0,), (weight, *(v for _, v in constants)), operator.output, "depthwise"))
    return tuple(made)


def apply(sch: s_tir.Schedule, channels: int, lanes: int, width: int, choose: Choose) -> s_tir.Schedule:
    """Blocks of `lanes` channels, a few pixels at a time; a tail of channels is its own scalar loop."""
    accumulate, epilogue = sch.get_sblock("accumulate"), sch.get_sblock("epilogue")
    candidates = [p for p in (1, 2, 4) if p <= width]
    pixels = choose("pixels", candidates, max((p for p in candidates if width % p == 0), default=1))
    sch.set_scope(accumulate, 0, "local")
    block = next((v for v in (lanes, 8, 4) if channels % v == 0), channels if channels < lanes else lanes)
    b, i, j, o, rh, rw = sch.get_loops(accumulate)
    o0, o1 = sch.split(o, [None, block])
    j0, j1 = sch.split(j, [None, pixels])
    sch.reorder(b, i, o0, j0, rh, rw, j1, o1)
    sch.reverse_compute_at(epilogue, j0)
    if channels % block == 0:  # before the initialization is split off: afterwards the update is no reduction block that may be vectorized
        sch.vectorize(o1)
        sch.unroll(j1)
    init = sch.decompose_reduction(accumulate, rh)
    if channels % block == 0:
        vectorize_tile(sch, init, block)
        vectorize_tile(sch, epilogue, block)
    return sch
