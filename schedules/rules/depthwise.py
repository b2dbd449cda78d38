"""Depthwise convolution on every CPU: channels are the vector axis, and rows of taps are summed by dot-product instructions.

acc[n, i, j, c] = sum over q, kw, e of x[n, i / r * r * sh + (q * depth + e) * dh, j * sw + kw * dw, c] * w[i % r, q, kw, c, e]

r output rows share the image rows they read, (r - 1) * sh + KH of them, rounded up to the instruction's depth: each output row has
zero weights for those that it does not touch. The image is copied first where it needs a border, more rows or columns than it has,
or other channels than its own (channel multipliers, counts that fill no vector); the kernel itself has no conditions on the image.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from tvm import s_tir, te, tirx

from nnc_tvm.schedules.arithmetic import const
from nnc_tvm.schedules.candidates import Candidate, Selection, select
from nnc_tvm.schedules.epilogue import epilogue_constants, narrowed, rounded, run_time_values
from nnc_tvm.schedules.intrin.taps import TapProduct
from nnc_tvm.schedules.loops import round_up, vectorize_parts, vectorize_tile
from nnc_tvm.schedules.operators import DepthwiseConv2d, Operator, TensorType
from nnc_tvm.schedules.rule import Choose, Stage, choose_default
from nnc_tvm.schedules.rules.at_run_time import at_run_time, prepared, rows_of
from nnc_tvm.schedules.rules.contraction import centred_bias
from nnc_tvm.schedules.rules.depthwise_plan import Tile, best_instruction, choose_tile, estimated_cost, pack_weights
from nnc_tvm.schedules.rules.input_patches import padded_copy
from nnc_tvm.schedules.rules.nibbles import UNPACK_COST, fit, pack, unpack_kernel

Expr = Any
UNROLLED = 160  # vector products in the unrolled body of a tile: more only makes code larger


def stages(operator: Operator, target: Any, choose: Choose) -> Selection | None:
    """The rule for DepthwiseConv2d, integer and float."""
    made = candidates(operator, target) if isinstance(operator, DepthwiseConv2d) else []
    return select(made, target.optimize, choose) if made else None


def candidates(operator: DepthwiseConv2d, target: Any) -> list[Candidate]:
    """The forms that `target` allows, the dense one first."""
    isa = best_instruction(operator, target.features)
    if isa is None:
        return []
    made = prepared(operator)
    assert isinstance(made, DepthwiseConv2d)
    tile = choose_tile(operator, isa, choose_default)
    cost, weights = estimated_cost(operator, tile), pack_weights(operator, tile, round_up(operator.output.shape[3], tile.block))
    forms = [Candidate("dense", cost, weights.nbytes, lambda choose: build(made, isa, target, choose, packed=False))]
    if "int4" in target.forms and "portable" not in target.features and fit(operator.weight):
        forms.append(Candidate("int4", cost + weights.size * UNPACK_COST, -(-weights.size // 2), lambda choose: build(made, isa, target, choose, packed=True)))
    return [at_run_time(operator, candidate, target) for candidate in forms]


def build(operator: DepthwiseConv2d, isa: TapProduct, target: Any, choose: Choose, packed: bool) -> tuple[Stage, ...]:
    """The stages. packed: weights are stored as two in a byte; a stage of their own unpacks them."""
    tile = choose_tile(operator, isa, choose)
    n, h, w, channels = operator.inputs[0].shape
    _, oh, ow, out = operator.output.shape
    (_, kw), (sh, sw), (dh, dw) = operator.kernel, operator.strides, operator.dilation
    acc_dtype, x_dtype = ("float32", "float32") if isa.weight_dtype == "float32" else ("int32", "int8")
    padded_out, padded_rows, padded_width = round_up(out, tile.block), round_up(oh, tile.rows), round_up(ow, tile.pixels)
    rows = (padded_rows - tile.rows) * sh + (tile.steps * isa.depth - 1) * dh + 1
    columns = (padded_width - 1) * sw + (kw - 1) * dw + 1

    made: list[Stage] = []
    image = (n, h, w, channels)
    if any(operator.padding) or rows > h or columns > w or padded_out != channels:
        image = (n, rows, columns, padded_out)
        made.append(Stage(image_copy(operator, image, target), (0,), (), TensorType(image, x_dtype), "pad"))

    weight = pack_weights(operator, tile, padded_out)
    constants = [bias_of(operator, isa), *(values for _, values in epilogue_constants(operator.epilogue, out))]
    constants = [np.pad(values, (0, padded_out - values.size)) for values in constants]
    x = te.placeholder(image, x_dtype, name="x")
    weights = te.placeholder(weight.shape, isa.weight_dtype, name="weights")
    parameters = [te.placeholder(values.shape, str(values.dtype), name=f"parameter{k}") for k, values in enumerate(constants)]
    rq, rw, re = te.reduce_axis((0, tile.steps), "q"), te.reduce_axis((0, kw), "kw"), te.reduce_axis((0, isa.depth), "e")

    def product(b: Expr, i: Expr, j: Expr, c: Expr) -> Expr:
        element = x[b, i // tile.rows * (tile.rows * sh) + (rq * isa.depth + re) * dh, j * sw + rw * dw, c]
        return element.astype(acc_dtype) * weights[c // isa.lanes, rq, rw, i % tile.rows, c % isa.lanes, re].astype(acc_dtype)

    acc = te.compute((n, padded_rows, padded_width, padded_out), lambda *i: te.sum(product(*i), axis=[rq, rw, re]), name="accumulate")
    bias, *rest = parameters
    each = rows_of(operator)
    others = [te.placeholder((2, each), "float32", name="at_run_time")] if each > 1 else []

    def result(b: Expr, i: Expr, j: Expr, c: Expr) -> Expr:
        values = [p[c] for p in rest]
        if others:
            values = run_time_values(values, others[0][1, b // (n // each)], others[0][0, b // (n // each)])
        return rounded(operator.epilogue, acc[b, i, j, c] + bias[c], values, isa.arithmetic)

    value = te.compute(acc.shape, result, name="requantize")
    y = te.compute((n, oh, ow, out), lambda *i: narrowed(operator.epilogue, value(*i), isa.arithmetic), name="finish")
    native = isa.lanes if isa.lanes >= isa.arithmetic.shortest else target.vector_bytes // 4
    sch = apply(s_tir.Schedule(te.create_prim_func([x, *others, weights, *parameters, y])), tile, kw, native, choose)
    inputs, stored = [-1 if made else 0, *range(1, 1 + len(others))], [weight]
    if packed:
        lanes = target.vector_bytes
        unpack = unpack_kernel(round_up(weight.size, 2 * lanes), isa.weight_dtype, lanes)
        made.append(Stage(unpack, (), (pack(weight.reshape(1, -1), lanes),), TensorType((round_up(weight.size, 2 * lanes),), isa.weight_dtype), "int4"))
        inputs, stored = [*inputs, -len(made)], []
    kernel = f"{isa.name} {tile.rows}x{tile.pixels}x{tile.block}"
    made.append(Stage(sch.mod["main"], tuple(inputs), (*stored, *constants), operator.output, kernel))
    return tuple(made)


def bias_of(operator: DepthwiseConv2d, isa: TapProduct) -> np.ndarray:
    """The bias less what the zero point and the instruction add to the sum, integers modulo 2^32."""
    bias = centred_bias(operator, 2)
    return (bias - isa.x_offset * operator.weight.astype(np.int64).sum(axis=(0, 1))).astype(np.int32) if isa.x_offset else bias


def image_copy(operator: DepthwiseConv2d, padded: tuple[int, int, int, int], target: Any) -> Any:
    """PrimFunc: the image with border, and each output channel's own input channel; zero points elsewhere."""
    n, h, w, channels = operator.inputs[0].shape
    _, rows, columns, padded_out = padded
    top, left = operator.padding[:2]
    dtype, out = operator.inputs[0].dtype, operator.output.shape[3]
    lanes = target.vector_bytes // (1 if dtype == "int8" else 4)
    if padded_out == channels:
        return padded_copy((n, h, w * channels), (rows, columns * channels), top, left * channels, operator.input_zero_point, math.prod(padded), (dtype, dtype))
    x = te.placeholder((n, h, w, channels), dtype, name="x")

    def element(b: Expr, i: Expr, j: Expr, c: Expr) -> Expr:
        inside = tirx.all(i >= top, i < top + h, j >= left, j < left + w, c < out)
        return tirx.if_then_else(inside, x[b, i - top, j - left, c // (out // channels)], const(operator.input_zero_point, dtype))

    return vectorize_parts(s_tir.Schedule(te.create_prim_func([x, te.compute(padded, element, name="y")])), "y", [out, padded_out - out], lanes)


def apply(sch: s_tir.Schedule, tile: Tile, kw: int, native: int, choose: Choose) -> s_tir.Schedule:
    """Tiles of rows x pixels outputs of one vector of channels; a row of tiles shares its weights in the cache.

    native: lanes that are requantized at once: LLVM cannot split the instructions of most CPUs.
    """
    isa = tile.isa
    accumulate, requantized, finished = (sch.get_sblock(name) for name in ("accumulate", "requantize", "finish"))
    for block in (accumulate, requantized):
        sch.set_scope(block, 0, "local")
    b, i, j, c, q, w, e = sch.get_loops(accumulate)
    out = int(sch.get(sch.get_loops(finished)[-1]).extent)
    i0, i1 = sch.split(i, [None, tile.rows])
    j0, j1 = sch.split(j, [None, tile.pixels])
    c0, c1, c2 = sch.split(c, [None, tile.vectors, isa.lanes])
    outer = [b, i0, c0, j0] if choose("channels_outer", [True, False], True) else [b, i0, j0, c0]
    sch.reorder(*outer, q, w, c1, i1, j1, c2, e)
    sch.reverse_compute_at(requantized, outer[-1])
    sch.reverse_compute_at(finished, outer[-1])
    if out % tile.block:  # the last channels fill no block and are stored one by one
        sch.annotate(c0, "pragma_loop_partition_hint", 1)
    if not isa.intrinsic:
        sch.vectorize(c2)
    init = sch.decompose_reduction(accumulate, q)
    if isa.intrinsic:
        sch.tensorize(c2, isa.intrinsic)
    products = tile.rows * tile.pixels * tile.vectors
    for loop, extent in ((w, kw), (q, tile.steps)):
        products *= extent
        if products <= UNROLLED:
            sch.unroll(loop)
    for loop in (c1, i1, j1):
        sch.unroll(loop)
    for block, lanes in ((init, isa.lanes), (requantized, native), (finished, tile.block)):
        vectorize_tile(sch, sch.get_loops(block)[len(outer):], lanes)
    return sch
