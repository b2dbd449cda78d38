"""Convolution and dense layers on every CPU: one kernel, parameterised by the dot-product instruction."""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatch
from typing import Any

import numpy as np

from nnc_tvm.schedules.candidates import Candidate
from nnc_tvm.schedules.epilogue import epilogue_constants
from nnc_tvm.schedules.intrin import avx2, avx512, neon, portable
from nnc_tvm.schedules.isa import DotProduct
from nnc_tvm.schedules.loops import round_up
from nnc_tvm.schedules.operators import Conv2d, Dense, DepthwiseConv2d, Operator, TensorType
from nnc_tvm.schedules.rule import Choose, Stage
from nnc_tvm.schedules.rules.at_run_time import rows_of
from nnc_tvm.schedules.rules.contraction_kernel import contraction_kernel
from nnc_tvm.schedules.rules.contraction_plan import Contraction, Plan, cheapest, make_plan, parts_of, weight_bytes, x_layout
from nnc_tvm.schedules.rules.input_patches import padded_copy
from nnc_tvm.schedules.rules.residual import final_stage, takes_residual
from nnc_tvm.schedules.rules.row_terms import row_terms

ROW_COST = 0.5  # estimated instructions per element
TABLES = {"int8": (avx512.INTEGER, avx2.INTEGER, neon.INTEGER, portable.INTEGER), "float32": (avx2.FLOAT, neon.FLOAT, portable.FLOAT)}


@singledispatch
def contraction_of(operator: Operator) -> Contraction | None:
    """The operator as a Contraction, None for operators that are none."""
    return None


@contraction_of.register
def _(operator: Conv2d) -> Contraction:
    (n, h, w, channels), (_, oh, ow, out) = operator.inputs[0].shape, operator.output.shape
    if operator.kernel == (1, 1) and operator.strides == (1, 1) and not any(operator.padding):  # all pixels are alike: one long row
        n, h, w, oh, ow = 1, 1, n * h * w, 1, n * h * w
    return Contraction((n, h, w, channels), (n, oh, ow, out), operator.weight, centred_bias(operator), operator.epilogue, operator.input_zero_point,
                       operator.inputs[0].dtype, operator.strides, operator.padding, operator.dilation, operator.groups,
                       residual=operator.residual, rows=own_rows(operator))


@contraction_of.register
def _(operator: Dense) -> Contraction:
    (m, k), o = operator.inputs[0].shape, operator.output.shape[1]
    return Contraction((1, 1, m, k), (1, 1, m, o), operator.weight.reshape(o, 1, 1, k), centred_bias(operator), operator.epilogue, operator.input_zero_point,
                       operator.inputs[0].dtype, rows=own_rows(operator))


def own_rows(operator: Conv2d | Dense) -> int:
    """As `Contraction.rows`."""
    return rows if (rows := rows_of(operator)) > 1 else 0


def centred_bias(operator: Conv2d | Dense | DepthwiseConv2d, channel_axis: int = 0) -> np.ndarray:
    """bias - z * sum of each output channel's weights: the kernel then multiplies x itself instead of x - z."""
    if operator.weight.dtype == np.float32:
        return operator.bias
    total = operator.weight.astype(np.int64).sum(axis=tuple(axis for axis in range(operator.weight.ndim) if axis != channel_axis))
    return (operator.bias.astype(np.int64) - operator.input_zero_point * total).astype(np.int32)


def stages(operator: Operator, target: Any, choose: Choose) -> tuple[Stage, ...] | None:
    """The rule for Conv2d and Dense, integer and float."""
    c = contraction_of(operator)
    if c is None:
        return None
    c, offset = moved_weights(c, target)
    plan = make_plan(c, instructions_for(c, target.features), choose, smallest=target.optimize == "size")
    if plan is None:
        return None
    prepared = prepare_x(c, plan.isa, plan.tile.pixels)
    source = -len(prepared)
    terms: tuple[int, ...] = ()
    if offset:
        (_, _, m, k), padded = c.image, round_up(c.out[2], plan.tile.pixels)
        prepared = (*prepared, Stage(row_terms((1, m, k), padded, offset), (0,), (), TensorType((1, padded), "int32"), "row sums"))
        terms = (-len(prepared),)
    constants = [per_group(values, c.groups, plan.channels) for values in (bias_of(c, plan.isa), *(v for _, v in epilogue_constants(c.epilogue, c.out[3])))]
    function = contraction_kernel(c, plan, constants[1:], choose)
    return (*prepared, final_stage(c, function, source, (pack_weights(c, plan), *constants), operator.output, plan.name, terms=terms))


def candidate(operator: Operator, target: Any) -> Candidate | None:
    """The dense form."""
    whole = contraction_of(operator)
    if whole is None:
        return None
    c, offset = moved_weights(whole, target)
    best = cheapest(c, instructions_for(c, target.features), target.optimize == "size")
    if best is None:
        return None
    cost, isa, _, vectors = best
    cost += row_cost(c) * bool(offset)
    return Candidate("dense", cost, weight_bytes(c, isa, len(parts_of(c, isa)), vectors), lambda choose: stages(operator, target, choose) or ())


def moved_weights(c: Contraction, target: Any) -> tuple[Contraction, int]:
    """(`c` with weights less an offset, so that they fit int8; the offset), where that is cheaper; else `c` and 0.

    sum of x * w = sum of x * (w - offset) + offset * sum of x: the last is a term of each row. Of pixels alone: other sums of x are windows.
    """
    low, high = int(c.weight.min(initial=0)), int(c.weight.max(initial=0))
    alone = c.image == (1, 1, c.out[2], c.weight.shape[3]) and c.weight.shape[1:3] == (1, 1)
    if c.x_dtype != "int8" or (low >= -128 and high <= 127) or high - low > 255 or not alone:
        return c, 0
    offset = high - 127 if high > 127 else low + 128
    moved = replace(c, weight=c.weight - np.asarray(offset, c.weight.dtype), row_terms=True)
    smallest = target.optimize == "size"
    as_it_is, less = (cheapest(x, instructions_for(x, target.features), smallest) for x in (c, moved))
    if as_it_is is None or less is None or less[0] + row_cost(c) >= as_it_is[0]:
        return c, 0
    return moved, offset


def row_cost(c: Contraction) -> float:
    """Estimated instructions of the sums of rows."""
    return ROW_COST * c.image[2] * c.image[3]


def bias_of(c: Contraction, isa: DotProduct) -> np.ndarray:
    """The bias less what the instruction adds to the sum, modulo 2^32."""
    if not isa.x_offset:
        return c.bias
    return (c.bias.astype(np.int64) - isa.x_offset * c.weight.astype(np.int64).sum(axis=(1, 2, 3))).astype(np.int32)


def instructions(features: frozenset[str], x_dtype: str) -> tuple[DotProduct, ...]:
    """The instructions for inputs of `x_dtype` that a CPU has."""
    return tuple(isa for table in TABLES[x_dtype] for isa in table if isa.features <= features)


def instructions_for(c: Contraction, features: frozenset[str]) -> tuple[DotProduct, ...]:
    """The instructions that a CPU has for `c`."""
    return tuple(isa for isa in instructions(features, c.x_dtype) if takes_residual(c, isa))


def prepare_x(c: Contraction, isa: DotProduct, pixels: int, reach: int = 0) -> tuple[Stage, ...]:
    """The stage that copies x, where a kernel with tiles of `pixels` cannot read it as it is. reach: as in `x_layout`."""
    rows, row, elements, copied = x_layout(c, isa, pixels, reach)
    n, h, w, channels = c.image
    if not copied:
        return ()
    copy = padded_copy((n, h, w * channels), (rows, row), c.padding[0], c.padding[1] * channels, c.border, elements, (c.x_dtype, isa.x_dtype),
                       isa.x_offset if isa.x_dtype == "uint8" else 0)
    return (Stage(copy, (0,), (), TensorType((elements,), isa.x_dtype), "pad"),)


def per_group(values: np.ndarray, groups: int, padded: int) -> np.ndarray:
    """(O,) as (groups, padded), zeros behind each group's channels."""
    grouped = values.reshape(groups, -1)
    return np.pad(grouped, ((0, 0), (0, padded - grouped.shape[1])))


def pack_weights(c: Contraction, plan: Plan) -> np.ndarray:
    """The weights as the kernel reads them: `Plan.packed_shape`."""
    isa, (runs, run) = plan.isa, c.runs
    weight = np.concatenate([p.reshape(c.groups, c.group_channels, -1, runs, run) for p in plan.parts], axis=2)
    full = np.zeros((c.groups, plan.channels, weight.shape[2], runs, plan.run_depth), isa.w_dtype)
    full[:, : c.group_channels, ..., :run] = weight
    outer, lanes, inner = isa.weight_shape
    cut = full.reshape(c.groups, -1, plan.tile.vectors, lanes, weight.shape[2], runs, plan.run_depth // isa.depth, outer, inner)
    return np.ascontiguousarray(cut.transpose(0, 1, 4, 5, 6, 2, 7, 3, 8))
