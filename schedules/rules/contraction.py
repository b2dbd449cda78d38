"""Convolution and dense layers on every CPU: one compute definition, one schedule, parameterised by the dot-product instruction.

acc[n, oh, ow, g, o] = sum over kh, kw', r of x[n, oh*sh + kh*dh, (ow*sw + kw'*dw)*C + g*Cg + r] * w[g, o, kh, kw', r]

Where neighbouring kernel columns touch neighbouring pixels (no dilation, one group), a kernel row is one run of KW*C contiguous
elements and kw' has one step; otherwise there is one run of C/groups elements per column. Runs are rounded up to the instruction's
depth with zero weights. Dense layers are 1x1 convolutions over a row of M pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
from tvm import s_tir, te

from nnc_tvm.schedules import isa as instruction_sets
from nnc_tvm.schedules.epilogue import apply_epilogue, epilogue_constants
from nnc_tvm.schedules.isa import DotProduct, split_weights
from nnc_tvm.schedules.operators import Conv2d, Dense, Operator, TensorType
from nnc_tvm.schedules.operators.patches import padded_copy
from nnc_tvm.schedules.quantization import Epilogue
from nnc_tvm.schedules.rule import Choose, Stage
from nnc_tvm.schedules.rules.vectorize import vectorize_tile


@dataclass(frozen=True, eq=False)
class Contraction:
    """A convolution or dense layer in the one form that the kernel knows. Shapes as in Conv2d; weight (O, KH, KW, C / groups)."""

    image: tuple[int, int, int, int]
    out: tuple[int, int, int, int]
    weight: np.ndarray
    bias: np.ndarray
    epilogue: Epilogue
    zero_point: int
    strides: tuple[int, int]
    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]
    groups: int
    out_dtype: str


@singledispatch
def contraction_of(operator: Operator) -> Contraction | None:
    """The operator as a Contraction, None for operators that are none."""
    return None


@contraction_of.register
def _(operator: Conv2d) -> Contraction:
    image, out = operator.inputs[0].shape, operator.output.shape
    if operator.kernel == (1, 1) and operator.strides == (1, 1) and not any(operator.padding):  # all pixels are alike: one long row
        pixels = math.prod(image[:3])
        image, out = (1, 1, pixels, image[3]), (1, 1, pixels, out[3])
    return Contraction(image, out, operator.weight, operator.bias, operator.epilogue, operator.input_zero_point, operator.strides, operator.padding, operator.dilation,  # type: ignore[arg-type]
                       operator.groups, operator.output.dtype)


@contraction_of.register
def _(operator: Dense) -> Contraction:
    (m, k), o = operator.inputs[0].shape, operator.output.shape[1]
    return Contraction((1, 1, m, k), (1, 1, m, o), operator.weight.reshape(o, 1, 1, k), operator.bias, operator.epilogue, operator.input_zero_point, (1, 1), (0, 0, 0, 0), (1, 1), 1,
                       operator.output.dtype)


def round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def tile_candidates(width: int, isa: DotProduct) -> tuple[list[int], int]:
    """Pixel tiles that fit the registers, and the default: least waste first, then the largest."""
    candidates = list(range(1, min(isa.pixels, width) + 1))
    # a small tile loads weights more often: worth about the waste of a third of a pixel
    cost = {p: math.ceil(width / p) * (p + 1.0) for p in candidates}
    return candidates, min(candidates, key=lambda p: (cost[p], -p))


def vector_candidates(channels: int, pixels: int, isa: DotProduct) -> tuple[list[int], int]:
    """Output vectors per tile; with few pixels more vectors keep the multipliers busy."""
    limit = max(isa.vectors, isa.vectors * isa.pixels // max(pixels, 1) // 2 * 1)
    candidates = [v for v in (1, 2, 3, 4, 6, 8) if v <= min(limit, 8)]
    return candidates, min(candidates, key=lambda v: (round_up(channels, v * isa.lanes), -v))


def stages(operator: Operator, target: Any, choose: Choose) -> tuple[Stage, ...] | None:
    """The rule for Conv2d and Dense, integer and float."""
    c = contraction_of(operator)
    if c is None:
        return None
    isa = instruction_sets.best(instruction_sets.FLOAT if c.weight.dtype == np.float32 else instruction_sets.INTEGER, target.features)
    if isa is None:
        return None
    n, h, w, channels = c.image
    _, oh, ow, out_channels = c.out
    (sh, sw), (dh, dw), (top, left, _, _) = c.strides, c.dilation, c.padding
    group_in, group_out = channels // c.groups, out_channels // c.groups
    pixels = choose("pixels", *tile_candidates(ow, isa))
    vectors = choose("vectors", *vector_candidates(group_out, pixels, isa))
    block = vectors * isa.lanes
    padded_out, padded_width = round_up(group_out, block), round_up(ow, pixels)

    merged = dw == 1 and c.groups == 1  # a kernel row is one run
    kh, kw = c.weight.shape[1:3]
    steps, run = (1, kw * channels) if merged else (kw, group_in)
    parts = split_weights(c.weight, isa)
    run_steps = math.ceil(run / isa.depth)
    weight = np.concatenate([p.reshape(c.groups, group_out, kh, steps, run) for p in parts], axis=2).astype(isa.w_dtype)
    packed = pack_weights(weight, padded_out, run_steps, vectors, isa)
    bias = c.bias if c.weight.dtype == np.float32 else c.bias.astype(np.int64) - c.zero_point * c.weight.astype(np.int64).sum((1, 2, 3))
    constants = [("bias", bias.astype(isa.acc_dtype)), *epilogue_constants(c.epilogue, out_channels)]
    per_channel = [(name, per_group(values, c.groups, padded_out)) for name, values in constants]

    # what the tiles read of each row, the excess of the last tile and run included
    row = ((padded_width - 1) * sw + (steps - 1) * dw) * channels + (channels - group_in) + run_steps * isa.depth
    rows = (oh - 1) * sh + (kh - 1) * dh + 1
    direct = not any(c.padding) and row <= w * channels and rows <= h and isa.x_dtype == ("float32" if isa.acc_dtype == "float32" else "int8")
    made: list[Stage] = []
    x_shape = (n, h, w * channels)
    if not direct:
        lanes = 16 if isa.acc_dtype == "int32" else isa.lanes
        x_shape = (n, max(rows, 1), max(row, left * channels + 1))
        copy = padded_copy((n, h, w * channels), x_shape, top, left * channels, c.zero_point, (operator.inputs[0].dtype, isa.x_dtype), lanes)
        made.append(Stage(copy, (0,), (), TensorType(x_shape, isa.x_dtype), "pad"))

    x = te.placeholder(x_shape, isa.x_dtype, name="x")
    weights = te.placeholder(packed.shape, isa.w_dtype, name="weights")
    parameters = [te.placeholder(values.shape, str(values.dtype), name=name) for name, values in per_channel]
    rh, rj = te.reduce_axis((0, kh * len(parts)), "kh"), te.reduce_axis((0, steps), "kw")
    rr, rd = te.reduce_axis((0, run_steps), "r"), te.reduce_axis((0, isa.depth), "d")

    def product(b: Any, i: Any, j: Any, g: Any, o: Any) -> Any:
        element = x[b, i * sh + rh % kh * dh if len(parts) > 1 else i * sh + rh * dh, (j * sw + rj * dw) * channels + g * group_in + rr * isa.depth + rd]
        lane = (rd // 2, o % isa.lanes, rd % 2) if isa.pair_major else (o % isa.lanes, rd)
        return element.astype(isa.acc_dtype) * weights[(g, o // block, rh, rj, rr, o % block // isa.lanes, *lane)].astype(isa.acc_dtype)

    acc = te.compute((n, oh, padded_width, c.groups, padded_out), lambda *i: te.sum(product(*i), axis=[rh, rj, rr, rd]), name="accumulate")
    y = te.compute((n, oh, ow, c.groups, group_out),
                   lambda b, i, j, g, o: apply_epilogue(c.epilogue, acc[b, i, j, g, o] + parameters[0][g, o], [p[g, o] for p in parameters[1:]]), name="epilogue")
    function = te.create_prim_func([x, weights, *parameters, y])
    schedule = apply(s_tir.Schedule(function), isa, pixels, vectors, choose)
    made.append(Stage(schedule.mod["main"], (-1,) if made else (0,), (packed, *(v for _, v in per_channel)), TensorType(operator.output.shape, c.out_dtype),
                      f"{isa.name} {pixels}x{block}"))
    return tuple(made)


def per_group(values: np.ndarray, groups: int, padded: int) -> np.ndarray:
    """(O,) as (groups, padded), zeros behind each group's channels."""
    grouped = values.reshape(groups, -1)
    return np.pad(grouped, ((0, 0), (0, padded - grouped.shape[1])))


def pack_weights(weight: np.ndarray, padded_out: int, run_steps: int, vectors: int, isa: DotProduct) -> np.ndarray:
    """(groups, O, KH, steps, run) in the order the loops read: (groups, O / block, KH, steps, run / depth, vectors, lanes, depth)."""
    groups, out, kh, steps, run = weight.shape
    full = np.zeros((groups, padded_out, kh, steps, run_steps * isa.depth), weight.dtype)
    full[:, :out, ..., :run] = weight
    split = full.reshape(groups, padded_out // (vectors * isa.lanes), vectors, isa.lanes, kh, steps, run_steps, isa.depth).transpose(0, 1, 4, 5, 6, 2, 3, 7)
    if isa.pair_major:
        split = split.reshape(*split.shape[:-1], isa.depth // 2, 2).transpose(0, 1, 2, 3, 4, 5, 7, 6, 8)
    return np.ascontiguousarray(split)


def apply(sch: s_tir.Schedule, isa: DotProduct, pixels: int, vectors: int, choose: Choose) -> s_tir.Schedule:
    """Register tiles of pixels x (vectors * lanes) channels; the epilogue runs on the tile while it is in registers."""
    accumulate, epilogue = sch.get_sblock("accumulate"), sch.get_sblock("epilogue")
    b, i, j, g, o, rh, rj, rr, rd = sch.get_loops(accumulate)
    sch.set_scope(accumulate, 0, "local")
    j0, j1 = sch.split(j, [None, pixels])
    o0, o1, o2 = sch.split(o, [None, vectors, isa.lanes])
    # whether a tile's weights or its pixels stay in the cache
    weights_outer = choose("weights_outer", [False, True], False)
    outer = [b, g, o0, i, j0] if weights_outer else [b, i, j0, g, o0]
    sch.reorder(*outer, rh, rj, rr, j1, o1, o2, rd)
    sch.reverse_compute_at(epilogue, outer[-1])
    if not isa.intrinsic:  # depth 1: the reduction over it is a loop of one step
        sch.reorder(rd, o2)
        sch.vectorize(o2)
    init = sch.decompose_reduction(accumulate, rh)
    if isa.intrinsic:
        sch.tensorize(o2, isa.intrinsic)
    sch.unroll(j1)
    sch.unroll(o1)
    vectorize_tile(sch, init, isa.lanes)
    vectorize_tile(sch, epilogue, 8)
    return sch
