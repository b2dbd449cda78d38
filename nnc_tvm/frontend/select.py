"""Gathering at constant indices, as slices."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax

from nnc_tvm.errors import InvalidModel

Expr = Any
MOST_SLICES = 64


def select(bb: relax.BlockBuilder, x: Expr, indices: np.ndarray, axis: int) -> Expr:
    """The entries `indices` (any shape, constant) of x along `axis` >= 0; negative ones count from the end.

    Evenly spaced runs are slices, several are concatenated; only scattered indices need a lookup. Raises InvalidModel for indices outside.
    """
    shape = [int(d) for d in x.ty.shape]
    extent = shape[axis]
    flat = indices.reshape(-1).astype(np.int64)
    if flat.size == 0 or flat.min() < -extent or flat.max() >= extent:
        raise InvalidModel(f"indices {flat[:4].tolist()}... on axis {axis} with {extent} entries; they must lie within it")
    runs = evenly_spaced(flat % extent)
    if len(runs) > MOST_SLICES:
        y = bb.normalize(relax.op.take(x, relax.const(flat % extent), axis=axis))
    else:
        parts = [bb.normalize(relax.op.strided_slice(x, axes=[axis], begin=[b], end=[e], strides=[s])) for b, e, s in runs]
        y = parts[0] if len(parts) == 1 else bb.normalize(relax.op.concat(parts, axis=axis))
    result = [*shape[:axis], *indices.shape, *shape[axis + 1 :]]
    return y if [int(d) for d in y.ty.shape] == result else relax.op.reshape(y, result)


def evenly_spaced(indices: np.ndarray) -> list[tuple[int, int, int]]:
    """`indices` as (begin, end, stride > 0) runs, in order."""
    runs: list[tuple[int, int, int]] = []
    i = 0
    while i < len(indices):
        step = int(indices[i + 1] - indices[i]) if i + 1 < len(indices) else 1
        step = step if step > 0 else 1
        j = i
        while j + 1 < len(indices) and indices[j + 1] - indices[j] == step:
            j += 1
        runs.append((int(indices[i]), int(indices[j]) + 1, step))
        i = j + 1
    return runs
