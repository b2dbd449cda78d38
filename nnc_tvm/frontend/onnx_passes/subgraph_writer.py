"""Nodes of a subgraph as nodes of the graph around it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import helper, numpy_helper

from nnc_tvm.errors import Unsupported
from nnc_tvm.frontend.onnx_names import graphs_of, label, opset_of
from nnc_tvm.frontend.onnx_passes.graph import attributes, set_initializer


class SubgraphWriter:
    """What takes the place of `node`: `nodes`, and the constants that they read."""

    def __init__(self, model: onnx.ModelProto, node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]], constants: dict[str, onnx.TensorProto]) -> None:
        self.graph, self.node, self.shapes, self.constants = model.graph, node, shapes, constants
        self.opset, self.values = opset_of(model), attributes(node)
        self.nodes: list[onnx.NodeProto] = []

    def constant_input(self, index: int) -> np.ndarray | None:
        """The value of a constant input; None for others and absent ones."""
        name = self.node.input[index] if index < len(self.node.input) else ""
        return numpy_helper.to_array(self.constants[name]) if name in self.constants else None

    def emit(self, op: str, inputs: list[str], output: str, **values: object) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=f"{self.node.name or self.node.output[0]}/{output}", **values))
        return output

    def integers(self, name: str, value: int | list[int]) -> str:
        """A new constant of int64."""
        set_initializer(self.graph, f"{self.node.output[0]}::{name}", np.array(value, np.int64))
        return f"{self.node.output[0]}::{name}"

    def inline(self, body: onnx.GraphProto, step: int, arguments: list[str]) -> list[str]:
        """Adds the nodes of `body` on `arguments`; returns its outputs. What it defines gets names of this step."""
        prefix = f"{self.node.output[0]}::{step}::"
        own = {v.name for v in body.initializer} | {name for node in body.node for name in node.output if name}
        names = {name: prefix + name for name in own} | dict(zip((v.name for v in body.input), arguments, strict=True))
        for tensor in body.initializer:
            copy = onnx.TensorProto.FromString(tensor.SerializeToString())
            copy.name = names[tensor.name]
            self.graph.initializer.append(copy)
        self.nodes += [renamed(node, names, prefix) for node in body.node]
        return [names.get(v.name, v.name) for v in body.output]

    def stack(self, parts: list[str], output: str, axis: int) -> None:
        """`output` is the parts along a new axis."""
        if not parts:
            raise Unsupported(f"{label(self.node)}: no step at all, which makes '{output}' empty; cut the node away")
        for i, part in enumerate(parts):
            name = f"{output}::part{i}"
            if self.opset < 13:
                self.emit("Unsqueeze", [part], name, axes=[axis])
            else:
                self.emit("Unsqueeze", [part, self.integers(f"axis{axis}", [axis])], name)
        self.emit("Concat", [f"{output}::part{i}" for i in range(len(parts))], output, axis=axis)


def renamed(node: onnx.NodeProto, names: dict[str, str], prefix: str) -> onnx.NodeProto:
    """A copy of `node` under other names, the tensors that its own subgraphs read from outside included."""
    copy = onnx.NodeProto.FromString(node.SerializeToString())
    copy.name = prefix + node.name if node.name else ""
    for pending in nodes_within(copy):
        for i, name in enumerate(pending.input):
            pending.input[i] = names.get(name, name)
    for graph in graphs_within(copy):
        for value in graph.output:
            value.name = names.get(value.name, value.name)
    for i, name in enumerate(copy.output):
        copy.output[i] = names.get(name, name)
    return copy


def graphs_within(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The subgraphs of a node, and those within them."""
    for attribute in node.attribute:
        for part in ([attribute.g] if attribute.HasField("g") else attribute.graphs):
            yield from (graph for graph, _ in graphs_of(part))


def nodes_within(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """A node, and those within its subgraphs."""
    yield node
    for graph in graphs_within(node):
        yield from graph.node
