"""Any PrimFunc as stages: one per loop nest, so that no kernel holds a buffer of its own; those between nests are scratch."""

from __future__ import annotations

import math
from typing import Any

import tvm
from tvm import s_tir, tirx

from nnc_tvm.schedules.loops import fuse_outer, vectorize
from nnc_tvm.schedules.nests import contains, loop_nests, operands, reads_places
from nnc_tvm.schedules.operators.operator import Operator, TensorType
from nnc_tvm.schedules.operators.primitive import Primitive
from nnc_tvm.schedules.rule import Choose, Stage


def stages(operator: Operator, target: Any, choose: Choose) -> tuple[Stage, ...] | None:
    """The rule for Primitive; None for loops without blocks, and for nests that make several tensors."""
    if not isinstance(operator, Primitive):
        return None
    whole = s_tir.Schedule(tvm.IRModule({"main": operator.function}))
    try:
        merge_blocks(whole)
    except s_tir.schedule.ScheduleError:  # loops that were written out without blocks, as those of scatter
        return None
    function = whole.mod["main"]
    sources = {parameter: k for k, parameter in enumerate(function.params[:-1])}
    nests = [(nest, *operands(nest)) for nest in loop_nests(function)]
    made: list[Stage] = []
    for k, (nest, read, written) in enumerate(nests):
        needed = [function.params[-1], *(buffer for _, later, _ in nests[k + 1:] for buffer in later)]
        results = [buffer for buffer in written if contains(needed, buffer)]
        if len(results) != 1:
            return None
        (result,) = results
        internal = [buffer for buffer in written if not buffer.same_as(result)]
        incoming = [buffer for buffer in read if not contains(written, buffer)]
        kernel = apply(s_tir.Schedule(tvm.IRModule({"main": kernel_of(nest, [*incoming, result], internal)})), target, choose).mod["main"]
        output = TensorType(tuple(int(extent) for extent in result.shape), str(result.dtype))
        made.append(Stage(kernel, tuple(sources[buffer] for buffer in incoming), (), output, operator.name))
        sources[result] = -len(made)
    return tuple(made)


def iterations(block: Any) -> int:
    """How often the block's statement runs."""
    return math.prod(int(v.dom.extent) for v in block.iter_vars)


def merge_blocks(sch: s_tir.Schedule) -> None:
    """Inlines element-wise blocks into their only reader where that repeats no work; brings blocks of several results to their reader."""
    for rv in sch.get_child_blocks(sch.get_sblock("root")):
        readers = sch.get_consumers(rv)
        if not readers:
            continue
        block = sch.get(rv)
        if len(block.writes) > 1:
            sch.compute_at(rv, sch.get_loops(readers[0])[-1])
        elif len(readers) == 1 and all(v.iter_type == tirx.IterVar.DataPar for v in block.iter_vars) and iterations(block) >= iterations(sch.get(readers[0])):
            sch.compute_inline(rv)


def kernel_of(nest: Any, parameters: list[Any], internal: list[Any]) -> tirx.PrimFunc:
    """The nest as a function of its own."""
    root = s_tir.SBlock([], [], [], "root", nest, alloc_buffers=internal)
    function = tirx.PrimFunc(parameters, s_tir.SBlockRealize([], tirx.const(True, "bool"), root))
    # fresh variables: the nests of one function share buffers, and each becomes a function of its own
    return s_tir.renew_defs(function).with_attr("tirx.noalias", True).with_attr("s_tir", True)


def same_walk(region: Any, iter_vars: Any) -> bool:
    """Whether the region is one element, indexed by the block's variables in their order."""
    return len(region.region) == len(iter_vars) and all(r.min.same_as(v.var) for r, v in zip(region.region, iter_vars, strict=True))


def apply(sch: s_tir.Schedule, target: Any, choose: Choose) -> s_tir.Schedule:
    """Vectors over the last axis where the first operand walks it with the output; sums in registers."""
    blocks = sch.get_child_blocks(sch.get_sblock("root"))
    rv = blocks[-1]
    block, loops = sch.get(rv), sch.get_loops(rv)
    if len(blocks) > 1 or not loops or len(loops) != len(block.iter_vars):
        return sch
    spatial = [loop for loop, v in zip(loops, block.iter_vars, strict=True) if v.iter_type == tirx.IterVar.DataPar]
    reduction = [loop for loop, v in zip(loops, block.iter_vars, strict=True) if v.iter_type != tirx.IterVar.DataPar]
    lanes = choose("lanes", [1, target.vector_bytes // 4, target.vector_bytes // 2], target.vector_bytes // 4)
    if not reduction:
        # where every operand is walked element by element, so is the merged row
        alike = all(same_walk(region, block.iter_vars) for region in (*block.reads, *block.writes))
        fuse_outer(sch, spatial if alike else spatial[:-1])
        if not reads_places(block.body, block.iter_vars[-1].var):
            vectorize(sch, sch.get_loops(rv)[-1], lanes)
        return sch
    if not spatial:
        return sch
    last = block.iter_vars[[loop.same_as(spatial[-1]) for loop in loops].index(True)].var
    walks_along = bool(block.reads) and len(block.reads[0].region) > 0 and block.reads[0].region[-1].min.same_as(last)
    result = sch.cache_write(rv, 0, "local")
    if not walks_along:
        sch.reorder(*spatial, *reduction)
        sch.reverse_compute_at(result, spatial[-1])
        return sch
    extent = int(sch.get(spatial[-1]).extent)
    while lanes > extent:
        lanes //= 2
    outer, vector = sch.split(spatial[-1], [None, lanes])
    sch.reorder(*spatial[:-1], outer, *reduction, vector)
    sch.reverse_compute_at(result, outer)
    if extent % lanes:
        sch.annotate(outer, "pragma_loop_partition_hint", 1)
    sch.vectorize(vector)
    return sch
