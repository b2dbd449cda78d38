"""The kernel of depthwise convolutions: its compute definition and its schedule; see depthwise.py for the equation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import s_tir, te

from nnc_tvm.schedules.epilogue import epilogue_constants, narrowed, rounded, run_time_values
from nnc_tvm.schedules.intrin.taps import TapProduct
from nnc_tvm.schedules.loops import round_up, vectorize_tile
from nnc_tvm.schedules.operators import DepthwiseConv2d
from nnc_tvm.schedules.rule import Choose
from nnc_tvm.schedules.rules.at_run_time import rows_of
from nnc_tvm.schedules.rules.contraction import centred_bias
from nnc_tvm.schedules.rules.depthwise_plan import Tile, pack_weights

Expr = Any
UNROLLED = 160  # vector products in the unrolled body of a tile: more only makes code larger


def depthwise_kernel(operator: DepthwiseConv2d, tile: Tile, image: tuple[int, ...], constants: Sequence[np.ndarray], target: Any, choose: Choose) -> Any:
    """The scheduled PrimFunc (x, [parameters of the run (2, rows),] weights, constants..., y).

    x: `image`, (N, rows, columns, channels), which has all that tiles read (`extent`). weights, constants: as `constants_of` makes them.
    """
    isa = tile.isa
    n, oh, ow, out = operator.output.shape
    (_, kw), (sh, sw), (dh, dw) = operator.kernel, operator.strides, operator.dilation
    acc_dtype, x_dtype = ("float32", "float32") if isa.weight_dtype == "float32" else ("int32", "int8")
    x = te.placeholder(image, x_dtype, name="x")
    weights = te.placeholder(constants[0].shape, isa.weight_dtype, name="weights")
    parameters = [te.placeholder(values.shape, str(values.dtype), name=f"parameter{k}") for k, values in enumerate(constants[1:])]
    rq, rw, re = te.reduce_axis((0, tile.steps), "q"), te.reduce_axis((0, kw), "kw"), te.reduce_axis((0, isa.depth), "e")

    def product(b: Expr, i: Expr, j: Expr, c: Expr) -> Expr:
        element = x[b, i // tile.rows * (tile.rows * sh) + (rq * isa.depth + re) * dh, j * sw + rw * dw, c]
        return element.astype(acc_dtype) * weights[c // isa.lanes, rq, rw, i % tile.rows, c % isa.lanes, re].astype(acc_dtype)

    padded = (n, round_up(oh, tile.rows), round_up(ow, tile.pixels), round_up(out, tile.block))
    acc = te.compute(padded, lambda *i: te.sum(product(*i), axis=[rq, rw, re]), name="accumulate")
    bias, *rest = parameters
    each = rows_of(operator)
    others = [te.placeholder((2, each), "float32", name="at_run_time")] if each > 1 else []

    def result(b: Expr, i: Expr, j: Expr, c: Expr) -> Expr:
        values = [p[c] for p in rest]
        if others:
            values = run_time_values(values, others[0][1, b // (n // each)], others[0][0, b // (n // each)])
        return rounded(operator.epilogue, acc[b, i, j, c] + bias[c], values, isa.arithmetic)

    value = te.compute(padded, result, name="requantize")
    y = te.compute((n, oh, ow, out), lambda *i: narrowed(operator.epilogue, value(*i), isa.arithmetic), name="finish")
    native = isa.lanes if isa.lanes >= isa.arithmetic.shortest else target.vector_bytes // 4
    return apply(s_tir.Schedule(te.create_prim_func([x, *others, weights, *parameters, y])), tile, kw, native, choose).mod["main"]


def extent(operator: DepthwiseConv2d, tile: Tile) -> tuple[int, int, int]:
    """(rows, columns, channels) of the image that tiles read, what does not count included."""
    _, oh, ow, out = operator.output.shape
    rows = (round_up(oh, tile.rows) - tile.rows) * operator.strides[0] + (tile.steps * tile.isa.depth - 1) * operator.dilation[0] + 1
    columns = (round_up(ow, tile.pixels) - 1) * operator.strides[1] + (operator.kernel[1] - 1) * operator.dilation[1] + 1
    return rows, columns, round_up(out, tile.block)


def constants_of(operator: DepthwiseConv2d, tile: Tile) -> list[np.ndarray]:
    """The weights, the bias and the epilogue's constants, as the kernel reads them."""
    out = operator.output.shape[3]
    padded = round_up(out, tile.block)
    values = [bias_of(operator, tile.isa), *(values for _, values in epilogue_constants(operator.epilogue, out))]
    return [pack_weights(operator, tile, padded), *(np.pad(v, (0, padded - v.size)) for v in values)]


def bias_of(operator: DepthwiseConv2d, isa: TapProduct) -> np.ndarray:
    """The bias less what the zero point and the instruction add to the sum, integers modulo 2^32."""
    bias = centred_bias(operator, 2)
    return (bias - isa.x_offset * operator.weight.astype(np.int64).sum(axis=(0, 1))).astype(np.int32) if isa.x_offset else bias


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
