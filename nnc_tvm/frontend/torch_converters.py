"""Converters of operators where TVM's give something that cannot be compiled offline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import relax

from nnc_tvm.frontend import torch_batch_norm, torch_quantized

Node = Any
Expr = Any


def size(node: Node, importer: Any) -> int:
    """An extent, which is known: the batch was fixed at the inputs."""
    return int(importer.env[node.args[0]].ty.shape[node.args[1]])


def parts(node: Node, importer: Any, extents: list[int]) -> list[Expr]:
    """Consecutive slices of these extents along the axis that the third argument names."""
    x = importer.env[node.args[0]]
    axis = node.args[2] if len(node.args) > 2 else node.kwargs.get("dim", 0)
    starts = [sum(extents[:i]) for i in range(len(extents))]
    slices = (relax.op.strided_slice(x, axes=[axis], begin=[b], end=[b + e], strides=[1]) for b, e in zip(starts, extents, strict=True))
    return [importer.block_builder.emit(s) for s in slices]


def equal_parts(total: int, extent: int) -> list[int]:
    """`total` in parts of `extent`; the last one may be smaller."""
    return [min(extent, total - start) for start in range(0, total, extent)]


def split(node: Node, importer: Any) -> list[Expr]:
    """Parts of one extent, or of listed ones."""
    extents = node.args[1]
    return parts(node, importer, equal_parts(axis_extent(node, importer), int(extents)) if isinstance(extents, int) else [int(e) for e in extents])


def chunk(node: Node, importer: Any) -> list[Expr]:
    """At most so many parts, of one extent."""
    total = axis_extent(node, importer)
    return parts(node, importer, equal_parts(total, -(-total // int(node.args[1]))))


def axis_extent(node: Node, importer: Any) -> int:
    axis = node.args[2] if len(node.args) > 2 else node.kwargs.get("dim", 0)
    return int(importer.env[node.args[0]].ty.shape[axis])


CONVERTERS: dict[str, Callable[[Node, Any], Any]] = {
    "sym_size.int": size, "split.Tensor": split, "split_with_sizes.default": split, "chunk.default": chunk,
    torch_batch_norm.NAME: torch_batch_norm.convert, **torch_quantized.CONVERTERS,
}
