"""The kernel of every contraction: its compute definition and its schedule.

acc[n, oh, ow, g, o] = bias[g, o] + sum over kh, kw', r of x[n, oh*sh + kh*dh, (ow*sw + kw'*dw)*C + g*Cg + r] * w[g, o, kh, kw', r]

over the runs of `Contraction.runs`, rounded up to the instruction's depth with zero weights: what is read beyond a run does not
count. Pixels are padded to whole tiles; what is computed for pixels that do not exist is not stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tvm_ffi
from tvm import s_tir, te, tirx
from tvm.s_tir.stmt import SBlock

from nnc_tvm.schedules.epilogue import finish, narrowed, requantize, rounded, run_time_values
from nnc_tvm.schedules.intrin.tile import tile_step
from nnc_tvm.schedules.loops import round_up, vectorize_tile
from nnc_tvm.schedules.rule import Choose
from nnc_tvm.schedules.rules.contraction_plan import Contraction, Plan, store_width, x_layout
from nnc_tvm.schedules.rules.residual import sum_of


def contraction_kernel(c: Contraction, plan: Plan, epilogue_values: Sequence[np.ndarray], choose: Choose) -> Any:
    """The scheduled PrimFunc (x, [residual,] [parameters (2, rows),] [row terms (N, pixels),] weights, bias (sets, channels),
    *epilogue_values (groups, channels), y).

    x: as `x_layout` says. weights: as `Plan.packed_shape` says, a set per group, or per image where `c.own_weights`.
    Row terms, where `c.row_terms`, are added to every channel of their pixel. Parameters of the run are there where `c.rows`.
    """
    return apply(s_tir.Schedule(define(c, plan, epilogue_values)), c, plan, choose).mod["main"]


def define(c: Contraction, plan: Plan, epilogue_values: Sequence[np.ndarray]) -> Any:
    """The compute definition. The output's channels are split into (O / w, w), w being how many are stored at once."""
    isa, lanes, block = plan.isa, plan.isa.lanes, plan.block
    (n, oh, ow, _), (sh, sw), (dh, dw), kh = c.out, c.strides, c.dilation, c.weight.shape[1]
    rows, row, elements, _ = x_layout(c, isa, plan.tile.pixels)
    channels, group, packed = c.image[3], c.weight.shape[3], plan.packed_shape
    padded = (n, oh, round_up(ow, plan.tile.pixels), c.groups, plan.channels)
    x, weights = te.placeholder((elements,), isa.x_dtype, name="x"), te.placeholder(packed, isa.w_dtype, name="weights")
    terms = [te.placeholder((n, padded[2]), isa.acc_dtype, name="row_terms")] if c.row_terms else []
    bias = te.placeholder((packed[0], plan.channels), isa.acc_dtype, name="bias")
    values = [te.placeholder(v.shape, str(v.dtype), name=f"epilogue_{i}") for i, v in enumerate(epilogue_values)]
    w = store_width(c.group_channels, plan.block)
    shape = (n, oh, ow, c.groups, c.group_channels // w, w)
    others = [te.placeholder(shape, "int8", name="residual")] if c.residual else []
    others += [te.placeholder((2, c.rows), "float32", name="parameters")] if c.rows else []
    rh, rj, rr = te.reduce_axis((0, packed[2]), "kh"), te.reduce_axis((0, packed[3]), "kw"), te.reduce_axis((0, plan.run_depth), "r")
    inner = isa.weight_shape[2]

    def product(b: Any, i: Any, j: Any, g: Any, o: Any) -> Any:
        line = i * sh + (rh % kh if len(plan.parts) > 1 else rh) * dh
        element = x[(b * rows + line) * row + (j * sw + rj * dw) * channels + g * group + rr]
        weight = weights[b if c.own_weights else g, o // block, rh, rj, rr // isa.depth, o % block // lanes, rr % isa.depth // inner, o % lanes, rr % inner]
        return element.astype(isa.acc_dtype) * weight.astype(isa.acc_dtype)

    acc = te.compute(padded, lambda *i: te.sum(product(*i), axis=[rh, rj, rr]), name="accumulate")

    def result(b: Any, i: Any, j: Any, g: Any, o: Any) -> Any:
        total = acc[b, i, j, g, o] + terms[0][b, j] if terms else acc[b, i, j, g, o]
        constants = [v[g, o] for v in values]
        if c.rows:
            row = te.min(((b * oh + i) * ow + j) // (n * oh * ow // c.rows), c.rows - 1)  # pixels that do not exist read the last row's
            constants = run_time_values(constants, others[-1][1, row], others[-1][0, row])
        return (requantize if c.residual else rounded)(c.epilogue, total, constants, isa.arithmetic)

    value = te.compute(padded, result, name="requantize")
    if c.residual is None:
        last = c.epilogue
        y = te.compute(shape, lambda b, i, j, g, o, k: narrowed(last, value[b, i, j, g, o * w + k], isa.arithmetic), name="finish")
    else:
        add, last = sum_of(c, isa.arithmetic), c.residual.requantize
        own = te.compute(shape, lambda b, i, j, g, o, k: add.own(value[b, i, j, g, o * w + k]), name="own")
        total = te.compute(shape, lambda *i: add.total(own(*i).astype("int32"), add.other(others[0](*i)).astype("int32")), name="add")
        y = te.compute(shape, lambda *i: finish(last, total(*i), isa.arithmetic), name="finish")
    return start_at_bias(te.create_prim_func([x, *others, *terms, weights, bias, *values, y]), 2 + len(others) + len(terms), 0 if c.own_weights else 3)


def start_at_bias(function: Any, parameter: int, set_axis: int) -> Any:
    """`function` with the sum started at the given parameter instead of 0: TE cannot say so. `set_axis` of the sum chooses the bias's row."""
    bias = function.params[parameter]

    def replace(block: SBlock) -> SBlock:
        if block.init is None:
            return block
        indices = block.init.indices
        init = tirx.BufferStore(block.init.buffer, bias[indices[set_axis], indices[4]], indices)
        # the reads stay as they are: the sum itself, which instructions are matched with, does not read the bias
        return SBlock(block.iter_vars, block.reads, block.writes, block.name_hint, block.body, init, block.alloc_buffers, block.match_buffers,
                      block.annotations)

    body = tvm_ffi.structural_map(function.body, (SBlock, replace))
    return tirx.PrimFunc(function.params, body, function.ret_type, attrs=function.attrs)


def add_residual(sch: s_tir.Schedule, tile: Any, depth: int, native: int) -> None:
    """The sum of a tile, `native` lanes at a time: what requantizes cannot be split. `tile` is the innermost of the `depth` loops around it."""
    own, add = sch.get_sblock("own"), sch.get_sblock("add")
    for block in (own, add):
        sch.set_scope(block, 0, "local")
        sch.reverse_compute_at(block, tile)
        *outer, lane = sch.get_loops(block)[depth:]
        if block is add:
            vectors, lane = sch.split(lane, [None, native])
            outer.append(vectors)
        sch.vectorize(lane)
        for loop in outer:
            sch.unroll(loop)


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
    turns, accumulators = plan.packed_shape[4] // tile.steps, tile.pixels // isa.rows * tile.vectors
    if turns > 1 and turns * accumulators <= isa.unrolled and accumulators > isa.accumulators - 8:
        rh = sch.fuse(rh, rj, r0)  # one long loop: LLVM would unroll the short one and hoist loads, more than fit the registers
    sch.reverse_compute_at(requantized, outer[-1])
    if c.residual is not None:
        add_residual(sch, outer[-1], len(outer), min(isa.rows * lanes, store_width(c.group_channels, plan.block)))
    sch.reverse_compute_at(finished, outer[-1])
    if store_width(c.group_channels, plan.block) == 1 < c.group_channels:
        # the last channels are stored one by one: in a loop of their own, without conditions in the others
        sch.annotate(o0, "pragma_loop_partition_hint", 1)
    init = sch.decompose_reduction(accumulate, rh)
    sch.transform_layout(accumulate, ("write", 0), lambda b, i, j, g, o: [b, i, g, j // isa.rows, o // lanes, j % isa.rows * lanes + o % lanes])
    sch.tensorize(j1 if tile.pixels > 1 else o1, tile_step(isa, tile))
    vectorize_tile(sch, sch.get_loops(init)[len(outer):], lanes)
    vectorize_tile(sch, sch.get_loops(requantized)[len(outer):], isa.rows * lanes)
    stores = sch.get_loops(finished)[len(outer):]
    if store_width(c.group_channels, plan.block) > 1:
        sch.vectorize(stores.pop())
    for loop in stores:
        sch.unroll(loop)
    return sch
