"""Layers whose output is written over their dying input: at which distance, and by which tilings it may be nearer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from nnc_tvm.targets.distance import Distance
from nnc_tvm.targets.npu.chasing import distance, extent
from nnc_tvm.targets.npu.piece import ANYWHERE, Piece
from nnc_tvm.targets.npu.tiling import reaches
from nnc_tvm.targets.npu.windowed import Conv, Pool

SHARES = (0, 1 / 3, 2 / 3)  # of a layer's reaches, the smallest first, those that are worth a plan's while


def output_distance(made: Sequence[Piece]) -> Distance | None:
    """Of the output of a layer in these pieces to its first input, which dies; None where they must be disjoint: several jobs read all of it."""
    job = _only_job(made)
    return None if job is None else distance(job)


@lru_cache(1 << 10)
def within(piece: Piece, reach: int) -> Piece:
    """`piece` by the fastest tiling with which its output and first input take no more than `reach` bytes together."""
    return replace(piece, in_place=False, overwrites=(), reach=reach, tilings={})


@lru_cache(1 << 10)
def nearer(piece: Piece) -> tuple[Piece, ...]:
    """`piece` by tilings that let its output lie nearer to its first input: some of them, the nearest first, each faster than those before."""
    job = _only_job([piece])
    if job is None:
        return ()
    less = [reach for reach in reaches(job, piece.config) if reach < extent(job)]
    found: list[Piece] = []
    for reach in sorted({less[int(share * len(less))] for share in SHARES if less}):
        other = within(piece, reach)
        if not found or other.cycles < found[-1].cycles:
            found.append(other)
    return tuple(found)


def _only_job(made: Sequence[Piece]) -> Conv | Pool | None:
    if len(made) > 1 or len(made[0].columns) > 1:
        return None
    (job,) = made[0].jobs(ANYWHERE, 0)
    return job if isinstance(job, Conv | Pool) else None
