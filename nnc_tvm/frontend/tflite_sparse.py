"""Sparse tensors of a .tflite file become dense constants; zeros are found in them again.

The format (schema.fbs, SparsityParameters): dimensions, split into blocks where block_map says so, are walked in traversal_order. Each level
is dense, or compressed as CSR: segments say which of its indices belong to each place of the level above. The buffer holds the values in
that order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import tflite

from nnc_tvm.errors import InvalidModel

if TYPE_CHECKING:
    from nnc_tvm.frontend.tflite_file import TfliteModel

Count = Callable[[int, int, str], range]
VECTORS = {tflite.SparseIndexVector.Int32Vector: (tflite.Int32Vector, 4), tflite.SparseIndexVector.Uint16Vector: (tflite.Uint16Vector, 2),
           tflite.SparseIndexVector.Uint8Vector: (tflite.Uint8Vector, 1)}
MOST_BYTES = 1 << 31  # what a dense tensor of a flatbuffer or a protobuf can hold


@dataclass(frozen=True, eq=False)
class Level:
    """dense: all of `size` places; else segments[p] .. segments[p + 1] are the numbers of the indices at place p of the level above."""

    dense: bool
    size: int
    segments: np.ndarray
    indices: np.ndarray


def dense_values(tensor: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], raw: np.ndarray | None, count: Count) -> np.ndarray:
    """The values of the sparse `tensor` in its dense shape.

    raw: the bytes of its buffer, None for none. count: see `_Reader.count`. Raises InvalidModel by the first thing that does not fit.
    """

    def refuse(why: str) -> InvalidModel:
        return InvalidModel(f"the sparse tensor '{name}' {list(shape)}: {why}; the file is damaged, convert the model again or without sparsity")

    table = tensor.Sparsity()
    order, blocks = (_integers(getattr(table, f"{field}AsNumpy")()) for field in ("TraversalOrder", "BlockMap"))
    if any(d < 0 for d in shape) or math.prod(shape) * dtype.itemsize >= MOST_BYTES:
        raise refuse("extents that no dense tensor has")
    if sorted(order) != list(range(len(shape) + len(blocks))):
        raise refuse(f"the traversal order {order} is no order of {len(shape)} dimensions and {len(blocks)} blocks")
    if len(set(blocks)) < len(blocks) or any(not 0 <= d < len(shape) for d in blocks):
        raise refuse(f"the block map {blocks}; it names each of {len(shape)} dimensions once at most")
    if table.DimMetadataLength() != len(order):
        raise refuse(f"{table.DimMetadataLength()} levels for a traversal of {len(order)}")
    levels = [_level(table.DimMetadata(i), count) for i in range(len(order))]
    extents = _extents(shape, order, blocks, levels, refuse)
    stored = np.zeros(0, dtype) if raw is None else np.frombuffer(raw.tobytes()[: raw.size // dtype.itemsize * dtype.itemsize], dtype.newbyteorder("<"))
    most = max([len(stored), *(len(level.segments) for level in levels)])
    places = 1
    coordinates: list[np.ndarray] = []
    for number, (level, extent) in enumerate(zip(levels, extents, strict=True)):
        if level.dense:
            if places * extent > most:
                raise refuse(f"level {number} has {places * extent} places, more than the file stores values or segments")
            coordinates = [np.repeat(c, extent) for c in coordinates] + [np.tile(np.arange(extent), places)]
        else:
            problem = _problem(level, places, extent)
            if problem:
                raise refuse(f"level {number} of the traversal (dimension {order[number]}): {problem}")
            coordinates = [np.repeat(c, np.diff(level.segments)) for c in coordinates] + [level.indices]
        places = len(coordinates[-1])
    if places != len(stored) or (raw is not None and raw.size % dtype.itemsize):
        raise refuse(f"its indices are those of {places} values, its buffer has {0 if raw is None else raw.size} bytes")
    at = dict(zip(order, coordinates, strict=True))
    sizes = dict(zip(order, extents, strict=True))
    for number, dimension in enumerate(blocks):
        block = len(shape) + number
        at[dimension] = at[dimension] * sizes[block] + at[block]
    values = np.zeros(shape, dtype)
    values[tuple(at[d] for d in range(len(shape)))] = stored.astype(dtype)
    return values


def _integers(vector: Any) -> list[int]:
    return [int(v) for v in vector] if isinstance(vector, np.ndarray) else []


def _level(metadata: Any, count: Count) -> Level:
    if metadata.Format() == tflite.DimensionType.DENSE:
        return Level(True, metadata.DenseSize(), np.zeros(0, np.int64), np.zeros(0, np.int64))
    parts = []
    for field in ("ArraySegments", "ArrayIndices"):
        kind, bytes_each = VECTORS[getattr(metadata, f"{field}Type")()]
        vector, table = kind(), getattr(metadata, field)()
        vector.Init(table.Bytes, table.Pos)
        count(vector.ValuesLength(), bytes_each, "indices")
        values = vector.ValuesAsNumpy()
        parts.append(values.astype(np.int64) if isinstance(values, np.ndarray) else np.zeros(0, np.int64))
    return Level(False, 0, *parts)


def _extents(shape: tuple[int, ...], order: list[int], blocks: list[int], levels: list[Level], refuse: Callable[[str], InvalidModel]) -> list[int]:
    """How many places each level has: a dimension's blocks, or a block's elements."""
    level_of = {dimension: level for dimension, level in zip(order, levels, strict=True)}
    sizes = {}
    for number, dimension in enumerate(blocks):
        block = level_of[len(shape) + number]
        if not block.dense or block.size <= 0 or shape[dimension] % block.size:
            raise refuse(f"blocks of {block.size if block.dense else 'compressed'} elements on dimension {dimension}")
        sizes[dimension] = block.size
    extents = [level_of[d].size if d >= len(shape) else shape[d] // sizes.get(d, 1) for d in order]
    for dimension, level, extent in zip(order, levels, extents, strict=True):
        if level.dense and level.size != extent:
            raise refuse(f"dimension {dimension} has {level.size} places where its shape and blocks make {extent}")
    return extents


def _problem(level: Level, places: int, extent: int) -> str:
    """What is wrong with a compressed level below `places` places; "" where nothing is."""
    segments, indices = level.segments, level.indices
    if len(segments) != places + 1:
        return f"{len(segments)} segment ends for {places} places; there is one more end than places"
    if segments[0] != 0 or segments[-1] != len(indices) or np.any(np.diff(segments) < 0):
        return f"its segments do not run from 0 to its {len(indices)} indices"
    outside = indices[(indices < 0) | (indices >= extent)]
    if outside.size:
        return f"the index {outside[0]} lies outside its {extent} places"
    starts = np.zeros(len(indices) + 1, bool)
    starts[segments] = True
    falling = np.flatnonzero((np.diff(indices) <= 0) & ~starts[1:-1]) if len(indices) else np.zeros(0, np.int64)
    return f"the index {indices[falling[0] + 1]} follows {indices[falling[0]]}; indices rise within a segment" if falling.size else ""


def densified(model: TfliteModel) -> TfliteModel:
    """`model` without DENSIFY: what it makes of a constant is that constant. Raises InvalidModel where it makes anything else."""
    tensors, operators = list(model.tensors), []
    for op in model.operators:
        if op.code != "DENSIFY":
            operators.append(op)
            continue
        if len(op.inputs) != 1 or len(op.outputs) != 1 or min(*op.inputs, *op.outputs) < 0:
            raise InvalidModel(f"{model.label(op)}: it has one input and one output; the file is damaged")
        source, target = tensors[op.inputs[0]], tensors[op.outputs[0]]
        if source.data is None:
            raise InvalidModel(f"{model.label(op)} reads '{source.label}', which is not constant; convert the model again")
        if target.data is not None or op.outputs[0] in model.inputs:
            raise InvalidModel(f"{model.label(op)} writes the tensor '{target.label}', which already has a value")
        if (source.shape, source.dtype) != (target.shape, target.dtype):
            raise InvalidModel(f"{model.label(op)} makes {target.dtype}{list(target.shape)} of {source.dtype}{list(source.shape)}; the file is damaged")
        tensors[op.outputs[0]] = replace(target, data=source.data)
    return replace(model, tensors=tuple(tensors), operators=tuple(operators))
