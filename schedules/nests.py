"""The loop nests of a scheduled function, and the buffers that they share."""

from __future__ import annotations

from typing import Any

import tvm
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


def reads_places(statement: Any, variable: Any) -> bool:
    """Whether elements are read at places that are themselves read where `variable` leads.

    TVM's vectors read such elements one by one, and where the vector is the whole row its code for them mixes two widths of indices.
    """
    found: list[bool] = []

    def load(node: tvm.ir.TensorLoad) -> None:
        for index in node.indices:
            tvm_ffi.structural_walk(index, (tvm.ir.TensorLoad, place))

    def place(node: tvm.ir.TensorLoad) -> None:
        for index in node.indices:
            tvm_ffi.structural_walk(index, (tirx.Var, lambda v: found.append(v.same_as(variable))))

    tvm_ffi.structural_walk(statement, (tvm.ir.TensorLoad, load))
    return any(found)


def contains(buffers: list[Any], buffer: Any) -> bool:
    """By identity: buffers of one shape are structurally equal."""
    return any(buffer.same_as(other) for other in buffers)
