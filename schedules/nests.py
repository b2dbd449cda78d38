"""The loop nests of a scheduled function, and the buffers that they share."""

from __future__ import annotations

from typing import Any

import tvm_ffi
from tvm import s_tir, tirx


def loop_nests(function: tirx.PrimFunc) -> list[Any]:
    """The statements of the root block, in order."""
    body = function.body.block.body
    return list(body.seq) if isinstance(body, tirx.SeqStmt) else [body]


def operands(nest: Any) -> tuple[list[Any], list[Any]]:
    """(buffers read, buffers written) of a loop nest, each once."""
    read: list[Any] = []
    written: list[Any] = []

    def visit(block: s_tir.SBlock) -> None:
        for buffers, regions in ((read, block.reads), (written, block.writes)):
            for region in regions:
                if not contains(buffers, region.source):
                    buffers.append(region.source)

    tvm_ffi.structural_walk(nest, (s_tir.SBlock, visit))
    return read, written


def contains(buffers: list[Any], buffer: Any) -> bool:
    """By identity: buffers of one shape are structurally equal."""
    return any(buffer.same_as(other) for other in buffers)
