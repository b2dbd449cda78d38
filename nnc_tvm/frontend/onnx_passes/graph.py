"""Reading and editing ONNX graphs: the few verbs that the passes share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

DATA_SIZED = frozenset({"ConstantOfShape", "Expand", "Range", "Tile"})  # values of their inputs decide how large their outputs are
MOST_PROPAGATED = 1 << 16  # elements


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """A node's attributes as Python values; strings as str."""
    values = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return {k: v.decode() if isinstance(v, bytes) else v for k, v in values.items()}


def initializers(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    return {t.name: t for t in graph.initializer}


def set_initializer(graph: onnx.GraphProto, name: str, value: np.ndarray) -> None:
    """Adds the initializer `name`, or gives it another value."""
    tensor = numpy_helper.from_array(np.asarray(value), name)
    for old in graph.initializer:
        if old.name == name:
            old.CopyFrom(tensor)
            return
    graph.initializer.append(tensor)


def replace_nodes(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """Puts `nodes` in the place of the graph's nodes."""
    copies = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def rename_reads(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Lets nodes read names[x] where they read x."""
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = names.get(name, name)


def reader_counts(graph: onnx.GraphProto) -> dict[str, int]:
    """How often each tensor is read, as an output of the graph included."""
    counts: dict[str, int] = {}
    for name in [n for node in graph.node for n in node.input] + [o.name for o in graph.output]:
        counts[name] = counts.get(name, 0) + 1
    return counts


def infer_shapes(model: onnx.ModelProto) -> None:
    """Fills value_info and the outputs' shapes anew from the inputs."""
    del model.graph.value_info[:]
    for output in model.graph.output:
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")
    model.CopyFrom(onnx.shape_inference.infer_shapes(model, data_prop=propagates_little(model)))


def propagates_little(model: onnx.ModelProto) -> bool:
    """Whether ONNX may follow the values of shapes through the graph while it infers shapes: it writes each element out, and a file of a
    few bytes can ask for more of them than the memory holds."""
    growing = [node for node in model.graph.node if node.op_type in DATA_SIZED or node.op_type == "Concat"]
    if not growing:
        return True
    shapes = static_shapes(onnx.shape_inference.infer_shapes(model))
    made = [shapes.get(node.output[0]) if node.output else () for node in growing]
    return all(node.op_type not in DATA_SIZED if shape is None else len(shape) != 1 or math.prod(shape) <= MOST_PROPAGATED
               for node, shape in zip(growing, made, strict=True))


def static_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Shapes that are known in full, by tensor."""
    shapes = {t.name: tuple(t.dims) for t in model.graph.initializer}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        kind = value.type.tensor_type
        if kind.HasField("shape") and all(d.HasField("dim_value") for d in kind.shape.dim):
            shapes[value.name] = tuple(d.dim_value for d in kind.shape.dim)
    return shapes
