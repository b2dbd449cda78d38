"""Convolution and dense layers on every CPU: one compute definition, one schedule, parameterised by the dot-product instruction.

acc[n, oh, ow, g, o] = sum over kh, kw', r of x[n, oh*sh + kh*dh, (ow*sw + kw'*dw)*C + g*Cg + r] * w[g, o, kh, kw', r]

over the runs of `Contraction.runs`, rounded up to the instruction's depth with zero weights: what is read beyond a run does not
count. Pixels are padded to whole tiles; what is computed for pixels that do not exist is not stored.
"""

from __future__ import annotations

import math
from functools import singledispatch
from typing import Any

import numpy as np
import tvm_ffi
from tvm import s_tir, te, tirx
from tvm.s_tir.stmt import SBlock

from nnc_tvm.schedules.epilogue import epilogue_constants, finish, requantize
from nnc_tvm.schedules.intrin import avx2, neon
from nnc_tvm.schedules.intrin.tile import tile_step
from nnc_tvm.schedules.operators import Conv2d, Dense, Operator, TensorType
from nnc_tvm.schedules.rule import Choose, Stage
from nnc_tvm.schedules.rules.contraction_plan import Contraction, Plan, instructions, make_plan, round_up, store_width, x_layout
from nnc_tvm.schedules.rules.input_patches import padded_copy

TABLES = {"int8": (avx2.INTEGER, neon.INTEGER), "float32": (avx2.FLOAT, neon.FLOAT)}


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
    return Contraction(image, out, operator.weight, centred_bias(operator), operator.epilogue, operator.input_zero_point,  # type: ignore[arg-type]
                       operator.inputs[0].dtype,
                       operator.strides, operator.padding, operator.dilation, operator.groups)


@contraction_of.register
def _(operator: Dense) -> Contraction:
    (m, k), o = operator.inputs[0].shape, operator.output.shape[1]
    return Contraction((1, 1, m, k), (1, 1, m, o), operator.weight.reshape(o, 1, 1, k), centred_bias(operator), operator.epilogue, operator.input_zero_point,
                       operator.inputs[0].dtype)


def centred_bias(operator: Conv2d | Dense) -> np.ndarray:
    """bias - z * sum of weights: the kernel then multiplies x itself instead of x - z."""
    if operator.weight.dtype == np.float32:
        return operator.bias
    total = operator.weight.astype(np.int64).sum(axis=tuple(range(1, operator.weight.ndim)))
    return (operator.bias.astype(np.int64) - operator.input_zero_point * total).astype(np.int32)


def stages(operator: Operator, target: Any, choose: Choose) -> tuple[Stage, ...] | None:
    """The rule for Conv2d and Dense, integer and float."""
    c = contraction_of(operator)
    if c is None:
        return None
    plan = make_plan(c, instructions(TABLES[c.x_dtype], target.features), choose)
    if plan is None:
        return None
    isa, tile = plan.isa, plan.tile
    rows, row, elements, copied = x_layout(c, isa, tile.pixels)
    made: list[Stage] = []
    if copied:
        n, h, w, channels = c.image
        copy = padded_copy((n, h, w * channels), (rows, row), c.padding[0], c.padding[1] * channels, c.border, elements, (c.x_dtype, isa.x_dtype))
        made.append(Stage(copy, (0,), (), TensorType((elements,), isa.x_dtype), "pad"))
    padded_channels = round_up(c.group_channels, plan.block)
    parameters = [("bias", c.bias), *epilogue_constants(c.epilogue, c.out[3])]
    constants = [(name, per_group(values, c.groups, padded_channels)) for name, values in parameters]
    packed = pack_weights(c, plan, padded_channels)
    function = kernel(c, plan, (rows, row, elements), packed.shape, constants)
    schedule = apply(s_tir.Schedule(function), c, plan, choose)
    made.append(Stage(schedule.mod["main"], (-1,) if copied else (0,), (packed, *(values for _, values in constants)), operator.output,
                      f"{isa.name} {tile.pixels}x{plan.block}"))
    return tuple(made)


def per_group(values: np.ndarray, groups: int, padded: int) -> np.ndarray:
    """(O,) as (groups, padded), zeros behind each group's channels."""
    grouped = values.reshape(groups, -1)
    return np.pad(grouped, ((0, 0), (0, padded - grouped.shape[1])))


def pack_weights(c: Contraction, plan: Plan, padded_channels: int) -> np.ndarray:
    """The weights as the kernel reads them: (groups, blocks, KH of all parts, runs, run steps, vectors, depth / group, lanes, group)."""
    isa, (runs, run) = plan.isa, c.runs
    weight = np.concatenate([p.reshape(c.groups, c.group_channels, -1, runs, run) for p in plan.parts], axis=2)
    full = np.zeros((c.groups, padded_channels, weight.shape[2], runs, plan.run_depth), isa.w_dtype)
    full[:, : c.group_channels, ..., :run] = weight
    outer, lanes, inner = isa.weight_shape
    cut = full.reshape(c.groups, -1, plan.tile.vectors, lanes, weight.shape[2], runs, plan.run_depth // isa.depth, outer, inner)
    return np.ascontiguousarray(cut.transpose(0, 1, 4, 5, 6, 2, 7, 3, 8))


def kernel(c: Contraction, plan: Plan, layout: tuple[int, int, int], packed: tuple[int, ...], constants: list[tuple[str, np.ndarray]]) -> Any:
    """The compute definition. The output's channels are split into (O / w, w), w being how many are stored at once."""
    isa, lanes, block = plan.isa, plan.isa.lanes, plan.block
    (n, oh, ow, _), (sh, sw), (dh, dw), kh = c.out, c.strides, c.dilation, c.weight.shape[1]
    rows, row, elements = layout
    channels, group = c.image[3], c.weight.shape[3]
    x, weights = te.placeholder((elements,), isa.x_dtype, name="x"), te.placeholder(packed, isa.w_dtype, name="weights")
    bias, *rest = [te.placeholder(values.shape, str(values.dtype), name=name) for name, values in constants]
    rh, rj, rr = te.reduce_axis((0, packed[2]), "kh"), te.reduce_axis((0, packed[3]), "kw"), te.reduce_axis((0, plan.run_depth), "r")
    inner = isa.weight_shape[2]

    def product(b: Any, i: Any, j: Any, g: Any, o: Any) -> Any:
        line = i * sh + (rh % kh if len(plan.parts) > 1 else rh) * dh
        element = x[(b * rows + line) * row + (j * sw + rj * dw) * channels + g * group + rr]
        weight = weights[g, o // block, rh, rj, rr // isa.depth, o % block // lanes, rr % isa.depth // inner, o % lanes, rr % inner]
        return element.astype(isa.acc_dtype) * weight.astype(isa.acc_dtype)

    padded = (n, oh, round_up(ow, plan.tile.pixels), c.groups, round_up(c.group_channels, block))
    acc = te.compute(padded, lambda *i: te.sum(product(*i), axis=[rh, rj, rr]), name="accumulate")
    value = te.compute(padded, lambda b, i, j, g, o: requantize(c.epilogue, acc[b, i, j, g, o], [p[g, o] for p in rest], isa.arithmetic), name="requantize")
    w = store_width(c, plan.block)
    y = te.compute((n, oh, ow, c.groups, c.group_channels // w, w), lambda b, i, j, g, o, k: finish(c.epilogue, value[b, i, j, g, o * w + k], isa.arithmetic), name="finish")
    return start_at_bias(te.create_prim_func([x, weights, bias, *rest, y]))


def start_at_bias(function: Any) -> Any:
    """`function` with the sum started at its third parameter instead of 0: TE cannot say so."""
    bias = function.params[2]

    def replace(block: SBlock) -> SBlock:
        if block.init is None:
            return block
        indices = block.init.indices
        init = tirx.BufferStore(block.init.buffer, bias[indices[3], indices[4]], indices)
        # the reads stay as they are: the sum itself, which instructions are matched with, does not read the bias
        return SBlock(block.iter_vars, block.reads, block.writes, block.name_hint, block.body, init, block.alloc_buffers, block.match_buffers, block.annotations)

    body = tvm_ffi.structural_map(function.body, (SBlock, replace))
    return tirx.PrimFunc(function.params, body, function.ret_type, attrs=function.attrs)


def apply(sch: s_tir.Schedule, c: Contraction, plan: Plan, choose: Choose) -> s_tir.Schedule:
    """A register tile is accumulated, requantized and stored before the next begins."""
    isa, tile, lanes = plan.isa, plan.tile, plan.isa.lanes
    accumulate, requantized, finished = [sch.get_sblock(name) for name in ("accumulate", "requantize", "finish")]
    b, i, j, g, o, rh, rj, rr = sch.get_loops(accumulate)
    sch.set_scope(accumulate, 0, "local")
    sch.set_scope(requantized, 0, "local")
    j0, j1 = sch.split(j, [None, tile.pixels])
    o0, o1 = sch.split(o, [None, plan.block])
    step = tile.steps * isa.depth
    r0, *r1 = sch.split(rr, [None, step]) if step > 1 else [rr]  # a loop of one turn would not match the step's description
    # The weights of a block stay in the cache while the pixels pass. LLVM unrolls short reductions and hoists what stays out of the inner
    # loop, more than fits the registers: weights come back from the stack as from memory, pixels would lose their use by element.
    weights_stay = choose("weights_stay", [False, True], True)
    outer = [b, g, o0, i, j0] if weights_stay else [b, i, j0, g, o0]
    sch.reorder(*outer, rh, rj, r0, j1, o1, *r1)
    sch.reverse_compute_at(requantized, outer[-1])
    sch.reverse_compute_at(finished, outer[-1])
    if store_width(c, plan.block) == 1 < c.group_channels:  # the last channels are stored one by one: in a loop of their own, without conditions in the others
        sch.annotate(o0, "pragma_loop_partition_hint", 1)
    init = sch.decompose_reduction(accumulate, rh)
    sch.transform_layout(accumulate, ("write", 0), lambda b, i, j, g, o: [b, i, g, j // isa.rows, o // lanes, j % isa.rows * lanes + o % lanes])
    sch.tensorize(j1 if tile.pixels > 1 else o1, tile_step(isa, tile))
    vectorize_tile(sch, sch.get_loops(init)[len(outer):], lanes)
    vectorize_tile(sch, sch.get_loops(requantized)[len(outer):], isa.rows * lanes)
    stores = sch.get_loops(finished)[len(outer):]
    if store_width(c, plan.block) > 1:
        sch.vectorize(stores.pop())
    for loop in stores:
        sch.unroll(loop)
    return sch


def vectorize_tile(sch: s_tir.Schedule, loops: list[Any], lanes: int) -> None:
    """Channels (the last of a tile's loops) by vectors, the pixels of a vector of channels one after the other: they share its parameters."""
    *pixels, channels = loops
    outer, inner = sch.split(channels, [None, lanes])
    sch.reorder(outer, *pixels, inner)
    sch.vectorize(inner)
    for loop in (outer, *pixels):
        sch.unroll(loop)
