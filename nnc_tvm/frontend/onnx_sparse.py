"""Sparse constants of an ONNX model become dense ones; zeros are found in them again."""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from nnc_tvm.errors import InvalidModel
from nnc_tvm.frontend.shapes import one_line

MOST_BYTES = 1 << 31  # what a dense tensor of a protobuf can hold


def densify(model: onnx.ModelProto) -> None:
    """Initializers, and the values of Constant nodes, that are stored sparse become dense. Raises InvalidModel by the first that does not fit."""
    for sparse in model.graph.sparse_initializer:
        model.graph.initializer.append(dense_tensor(sparse, sparse.values.name))
    del model.graph.sparse_initializer[:]
    for node in model.graph.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.HasField("sparse_tensor"):
                value = dense_tensor(attribute.sparse_tensor, next(iter(node.output), "?"))
                attribute.CopyFrom(onnx.helper.make_attribute("value", value))


def dense_tensor(sparse: onnx.SparseTensorProto, name: str) -> TensorProto:
    """The tensor `name` that `sparse` stands for: values at indices (count,) into the flat tensor or (count, rank), in rising order."""
    shape = list(sparse.dims)

    def refuse(why: str) -> InvalidModel:
        return InvalidModel(f"the sparse tensor '{name}' {shape}: {why}; the file is damaged, export the model again or with dense weights")

    try:
        values, indices = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
    except (ValueError, TypeError, OverflowError, KeyError, AttributeError) as error:
        raise refuse(f"its values or indices cannot be read: {one_line(error, 120)}") from error
    if not shape or min(shape) <= 0 or values.dtype == object or math.prod(shape) * values.itemsize >= MOST_BYTES:
        raise refuse("extents or values that no dense tensor has")
    if indices.dtype != np.int64 or values.ndim != 1 or indices.shape not in ((values.size,), (values.size, len(shape))):
        raise refuse(f"{values.shape} values with {indices.dtype}{list(indices.shape)} indices")
    extents = np.array(shape if indices.ndim == 2 else [math.prod(shape)], np.int64)
    table = indices.reshape(values.size, len(extents))
    outside = np.argwhere((table < 0) | (table >= extents))
    if len(outside):
        raise refuse(f"the index {table[outside[0][0]].tolist()} lies outside {extents.tolist()}")
    flat = np.ravel_multi_index(tuple(table.T), tuple(extents.tolist()))
    falling = np.flatnonzero(np.diff(flat) <= 0)
    if falling.size:
        raise refuse(f"the index {table[falling[0] + 1].tolist()} follows {table[falling[0]].tolist()}; indices rise, each once")
    dense = np.zeros(math.prod(shape), values.dtype)
    dense[flat] = values
    return numpy_helper.from_array(dense.reshape(shape), name)
