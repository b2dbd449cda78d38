"""Loop transformations that several rules share."""

from __future__ import annotations

from typing import Any

from tvm import s_tir, tirx

from nnc_tvm.schedules.epilogue import apply_epilogue, epilogue_constants
from nnc_tvm.schedules.quantization import Epilogue


def vectorize(sch: s_tir.Schedule, loop: Any, lanes: int, unroll: int = 1) -> Any:
    """Splits `loop` into vectors of `lanes` elements (a power of two) and a scalar rest; returns the loop over vectors.

    A short loop gets the widest vector it fills. The rest is cut off by loop partitioning: a predicate inside the vector loop would
    make all of it scalar. unroll: vectors per iteration, where they divide.
    """
    extent = int(sch.get(loop).extent)
    while lanes > extent:
        lanes //= 2
    if lanes <= 1:
        return loop
    outer, inner = sch.split(loop, [None, lanes])
    sch.vectorize(inner)
    if extent % lanes:
        sch.annotate(outer, "pragma_loop_partition_hint", 1)
    elif unroll > 1 and extent // lanes % unroll == 0:
        outer, vectors = sch.split(outer, [None, unroll])
        sch.unroll(vectors)
    return outer


def round_up(value: int, multiple: int) -> int:
    """The smallest multiple that is not below `value`."""
    return -(-value // multiple) * multiple


def fuse_outer(sch: s_tir.Schedule, loops: list[Any]) -> None:
    """One loop over everything around the vectors; nothing where there is none."""
    if len(loops) > 1:
        sch.fuse(*loops)


def vectorize_parts(sch: s_tir.Schedule, block: str, sizes: list[int], lanes: int) -> Any:
    """Cuts the innermost loop of `block` into parts of `sizes` and vectorizes each; conditions that hold throughout a part disappear.

    Returns the PrimFunc.
    """
    *outer, inner = sch.get_loops(sch.get_sblock(block))
    fuse_outer(sch, outer)
    sizes = [size for size in sizes if size]
    blocks = [block]
    if len(sizes) > 1:
        name = sch.get(inner).loop_var.name
        sch.loop_partition(inner, [*sizes[:-1], None])
        # parts begin where the last one ended, and only loops from 0 can be split
        sch = s_tir.Schedule(s_tir.transform.CanonicalizeLoop()(sch.mod))
        blocks = [f"{block}_{name}{k}" for k in range(len(sizes))]
    for part in blocks:
        vectorize(sch, sch.get_loops(sch.get_sblock(part))[-1], lanes)
    return sch.mod["main"]


def vectorize_tile(sch: s_tir.Schedule, loops: list[Any], lanes: int) -> None:
    """Channels (the last of a tile's loops) by vectors of `lanes`, the pixels of a vector of channels one after the other: they share its parameters.

    A tile of a single element has no loops.
    """
    if not loops:
        return
    *pixels, channels = loops
    outer, inner = sch.split(channels, [None, lanes])
    sch.reorder(outer, *pixels, inner)
    sch.vectorize(inner)
    for loop in (outer, *pixels):
        sch.unroll(loop)


def inline_epilogue(epilogue: Epilogue, acc: Any) -> Any:
    """The output element for an accumulator under a per-tensor epilogue, whose parameters become immediates."""
    return apply_epilogue(epilogue, acc, [tirx.const(values.reshape(-1)[0].item(), str(values.dtype)) for _, values in epilogue_constants(epilogue, 1)])
