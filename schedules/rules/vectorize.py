"""Scheduling steps that rules share."""

from __future__ import annotations

from typing import Any

from tvm import s_tir


def vectorize_tile(sch: s_tir.Schedule, block: Any, lanes: int) -> None:
    """Vectorizes the innermost loop of a tile's block by `lanes` or a half of it, where that divides the loop, and unrolls the rest of it."""
    loops = sch.get_loops(block)
    extent = int(sch.get(loops[-1]).extent)
    width = next((v for v in (lanes, lanes // 2) if v > 1 and extent % v == 0), 1)
    if width == 1:
        return
    outer, inner = sch.split(loops[-1], [None, width])
    sch.vectorize(inner)
    sch.unroll(outer)


def vectorize_flat(sch: s_tir.Schedule, block: Any, lanes: int) -> None:
    """Fuses all loops of an element-wise block and vectorizes; the tail that does not fill a vector is a loop of its own."""
    loops = sch.get_loops(block)
    if not loops:
        return
    vectorize_loop(sch, sch.fuse(*loops) if len(loops) > 1 else loops[0], lanes)


def vectorize_loop(sch: s_tir.Schedule, loop: Any, lanes: int) -> None:
    """Vectorizes one loop by `lanes`; what remains is split off as its own loop."""
    extent = int(sch.get(loop).extent)
    if extent < lanes:
        if extent > 1:
            sch.vectorize(loop)
        return
    if extent % lanes:
        loop = sch.loop_partition(loop, [extent // lanes * lanes, None])[0]
    _, inner = sch.split(loop, [None, lanes])
    sch.vectorize(inner)
