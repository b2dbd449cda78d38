"""Merging axes that kernels walk together, so that vectors run over as many neighbouring elements as there are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Walk:
    """A loop nest over `extents`, in which operand k moves by strides[k][axis] elements."""

    extents: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides, in elements, of a contiguous tensor."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return tuple(strides)


def broadcast_strides(shape: tuple[int, ...], to: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of a contiguous tensor of `shape` seen in the shape `to`: 0 on axes along which NumPy would repeat it."""
    padded = (1,) * (len(to) - len(shape)) + shape
    return tuple(0 if extent == 1 else stride for extent, stride in zip(padded, row_major(padded), strict=True))


def merge(extents: tuple[int, ...], strides: tuple[tuple[int, ...], ...]) -> Walk:
    """The same walk with the fewest axes: neighbours are merged where every operand moves evenly across them. At least one axis stays."""
    merged: list[tuple[int, list[int]]] = []
    for axis, extent in enumerate(extents):
        if extent == 1:
            continue
        moves = [s[axis] for s in strides]
        if merged and all(outer == extent * inner for outer, inner in zip(merged[-1][1], moves, strict=True)):
            merged[-1] = (merged[-1][0] * extent, moves)
        else:
            merged.append((extent, moves))
    if not merged:
        merged = [(1, [1] * len(strides))]
    return Walk(tuple(e for e, _ in merged), tuple(tuple(m[k] for _, m in merged) for k in range(len(strides))))


def used_shape(walk: Walk, operand: int) -> tuple[int, ...]:
    """The operand's shape on the walk's axes when it is contiguous: 1 where it does not move."""
    return tuple(e if s else 1 for e, s in zip(walk.extents, walk.strides[operand], strict=True))
