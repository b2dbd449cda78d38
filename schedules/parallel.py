"""Kernels in parts: which loops of a kernel several threads share.

Parallel loops are those whose turns write apart. TVM proves it of loops that were scheduled; kernels that are written out mark theirs as
`T.parallel` (one inside another: either may be shared), and what they do outside of them concerns scratch alone, of which every part has
its own. Every part then runs the whole kernel, but of the loop that was chosen its share of the turns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tvm_ffi
from tvm import s_tir, tirx

from nnc_tvm.schedules.loops import round_up
from nnc_tvm.schedules.nests import contains, loop_nests, operands

PARTS = "nnc.parts"
"""The attribute of a function in several parts: how many."""
CACHE_LINE = 64  # bytes, which parts do not share
BALANCED = 0.91  # turns over those that the parts have time for: of such loops the outermost is taken


def split(function: tirx.PrimFunc, parts: int) -> tirx.PrimFunc | None:
    """`function` with the loops that `parts` threads share as its only parallel ones; None where a part of it has no such loop."""
    if not loops_of(function.body):
        function = with_proven_loops(function)
    shared = [loop for loop in outermost(function.body)]
    if not shared:
        return None
    chosen = [loop.loop_var for top in shared for loop in best(top, parts)]
    return with_parallel(function, chosen).with_attr(PARTS, parts)


def serial(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """`function` without parallel loops."""
    return with_parallel(function, []) if loops_of(function.body) else function


def loops_of(body: Any) -> list[tirx.For]:
    """The parallel loops of a statement, each before those inside it."""
    found: list[tirx.For] = []

    def visit(loop: tirx.For) -> None:
        if loop.kind == tirx.ForKind.PARALLEL:
            found.append(loop)

    tvm_ffi.structural_walk(body, (tirx.For, visit))
    return found


def outermost(body: Any) -> list[tirx.For]:
    """The parallel loops of a statement that are in no other."""
    found = loops_of(body)
    inside = [inner.loop_var for loop in found for inner in loops_of(loop.body)]
    return [loop for loop in found if not any(loop.loop_var.same_as(var) for var in inside)]


def scratch_pitch(size: int, parts: int) -> int:
    """Bytes from a part's scratch to that of the next part; 0 where there is one part."""
    return round_up(size, CACHE_LINE) if parts > 1 else 0


def shares_well(turns: int, parts: int) -> bool:
    """Whether a loop keeps the parts busy nearly all of its time."""
    return share(turns, parts) >= BALANCED


def share(turns: int, parts: int) -> float:
    """The share of its time that the average part of a loop is busy."""
    return turns / (-(-turns // parts) * parts) if turns else 1.0


def balance(loop: tirx.For, parts: int) -> float:
    """`share` of a loop."""
    return share(int(loop.extent), parts)


def best(loop: tirx.For, parts: int) -> list[tirx.For]:
    """`loop`, or those inside it where they share better."""
    inner = [chosen for top in outermost(loop.body) for chosen in best(top, parts)]
    if not inner or balance(loop, parts) >= min(BALANCED, *(balance(chosen, parts) for chosen in inner)):
        return [loop]
    return inner


def with_parallel(function: tirx.PrimFunc, chosen: list[Any]) -> tirx.PrimFunc:
    """`function` whose parallel loops are those over the `chosen` variables. They are annotated, for TVM leaves out loops of one turn that are not."""

    def replace(loop: tirx.For) -> tirx.For:
        if loop.kind != tirx.ForKind.PARALLEL:
            return loop
        kept = any(loop.loop_var.same_as(var) for var in chosen)
        kind, annotations = (loop.kind, {**loop.annotations, PARTS: True}) if kept else (tirx.ForKind.SERIAL, loop.annotations)
        return tirx.For(loop.loop_var, loop.min, loop.extent, kind, loop.body, annotations=annotations)

    return tirx.PrimFunc(function.params, tvm_ffi.structural_map(function.body, (tirx.For, replace)), function.ret_type, attrs=function.attrs)


def with_proven_loops(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """`function` with the loops marked around everything whose turns are proven to write apart; as it is where one of its loop nests has none."""
    nests = loop_nests(function)
    proven = []
    for nest in nests:
        if depends(nest, [other for other in nests if not other.same_as(nest)]):
            return function
        loops = [loop.loop_var for loop in around(nest) if writes_apart(loop, list(function.params))]
        if not loops:
            return function
        proven += loops

    def mark(loop: tirx.For) -> tirx.For:
        if not any(loop.loop_var.same_as(variable) for variable in proven):
            return loop
        return tirx.For(loop.loop_var, loop.min, loop.extent, tirx.ForKind.PARALLEL, loop.body, annotations=loop.annotations)

    return tirx.PrimFunc(function.params, tvm_ffi.structural_map(function.body, (tirx.For, mark)), function.ret_type, attrs=function.attrs)


def around(nest: Any) -> Iterator[tirx.For]:
    """The loops that hold all of the nest, the outermost first."""
    while isinstance(nest, tirx.For) and nest.kind == tirx.ForKind.SERIAL:
        yield nest
        nest = nest.body


def writes_apart(loop: tirx.For, parameters: list[Any]) -> bool:
    """Whether no two turns of the loop write to, or one writes and another reads, the same element of a parameter.

    All that blocks do is what their variables say: none may be reduced over the loop, and one along which the loop moves chooses what a block
    writes. Other buffers are allocated inside the loop, as all that reads and writes them is there.
    """
    realized = outer_blocks(loop.body)
    if count(loop.body, tirx.BufferStore) != sum(count(realize, tirx.BufferStore) for realize in realized):
        return False  # loops that were written out
    written = [region.source for realize in realized for region in realize.block.writes if contains(parameters, region.source)]
    return bool(realized) and all(block_writes_apart(realize, loop.loop_var, written) for realize in realized)


def block_writes_apart(realize: Any, variable: Any, written: list[Any]) -> bool:
    """`writes_apart` of one block. written: the parameters that the loop writes."""
    block = realize.block
    moving = [v for v, value in zip(block.iter_vars, realize.iter_values, strict=True) if depends_on(value, variable)]
    if any(v.iter_type != tirx.IterVar.DataPar for v in moving):
        return False
    results = [region for region in block.writes if contains(written, region.source)]
    if not all(any(depends_on(r.min, v.var) for r in region.region for v in moving) for region in results):
        return False
    reread = [region for region in block.reads if contains(written, region.source)]  # a sum, of the element that it writes
    return all(any(tvm_ffi.structural_equal(region, result) for result in results) for region in reread)


def outer_blocks(body: Any) -> list[Any]:
    """The blocks of a statement that are in no other."""
    found: list[Any] = []
    inside: list[Any] = []

    def visit(realize: s_tir.SBlockRealize) -> None:
        found.append(realize)
        tvm_ffi.structural_walk(realize.block.body, (s_tir.SBlockRealize, inside.append))

    tvm_ffi.structural_walk(body, (s_tir.SBlockRealize, visit))
    return [realize for realize in found if not contains(inside, realize)]


def count(body: Any, kind: type) -> int:
    """How many nodes of a kind there are."""
    found: list[Any] = []
    tvm_ffi.structural_walk(body, (kind, found.append))
    return len(found)


def depends_on(expression: Any, variable: Any) -> bool:
    """Whether the variable occurs in the expression."""
    found: list[Any] = []
    tvm_ffi.structural_walk(expression, (tirx.Var, found.append))
    return contains(found, variable)


def depends(nest: Any, nests: list[Any]) -> bool:
    """Whether the nest reads what one of `nests` writes."""
    read, written = operands(nest)[0], [buffer for other in nests for buffer in operands(other)[1]]
    return any(contains(written, buffer) for buffer in read)
