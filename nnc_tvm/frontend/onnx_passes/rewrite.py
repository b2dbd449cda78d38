"""Putting several nodes in the place of one: what the passes that rewrite quantized dialects share.

A dialect's node becomes DequantizeLinear around a float operator and QuantizeLinear; the results keep their names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import helper

from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.frontend.onnx_names import label
from nnc_tvm.frontend.onnx_passes.graph import initializers, replace_nodes, set_initializer

MICROSOFT = "com.microsoft"


class Replacement:
    """Collects the nodes that take the place of `node`."""

    def __init__(self, graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
        self.graph, self.node = graph, node
        self.nodes: list[onnx.NodeProto] = []
        self.constants = initializers(graph)

    def input(self, index: int) -> str:
        """The name of an input; "" for one that is left out."""
        return self.node.input[index] if index < len(self.node.input) else ""

    def required(self, *indices: int) -> None:
        """Raises InvalidModel when one of these inputs is left out."""
        missing = [i for i in indices if not self.input(i)]
        if missing:
            raise InvalidModel(f"input {missing[0]} is missing; export the model again")

    def value(self, index: int, what: str) -> np.ndarray:
        """The value of a constant input. Raises Unsupported when it is computed at run time."""
        name = self.input(index)
        if name not in self.constants:
            raise Unsupported(f"{what} ('{name}') is computed at run time; it must be constant")
        return onnx.numpy_helper.to_array(self.constants[name])

    def emit(self, op: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Adds a node; returns the name of its result: `output`, or a new one."""
        name = output or f"{self.node.output[0]}::{len(self.nodes)}"
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=self.node.name or self.node.output[0], **attributes))
        return name

    def constant(self, value: np.ndarray | np.generic, stem: str) -> str:
        """Adds an initializer; returns its name."""
        name = f"{self.node.output[0]}::{stem}"
        set_initializer(self.graph, name, np.asarray(value))
        return name

    def real(self, index: int, **attributes: Any) -> str:
        """The real values of the integers in inputs index, index + 1 (scale) and index + 2 (zero point, optional)."""
        self.required(index, index + 1)
        return self.emit("DequantizeLinear", self.input(index), self.input(index + 1), self.input(index + 2), **attributes)

    def quantize(self, real: str, scale: int) -> None:
        """Ends with the node's result: `real` on the scale in input `scale`, with the zero point in the input behind it."""
        self.required(scale)
        self.emit("QuantizeLinear", real, self.input(scale), self.input(scale + 1), output=self.node.output[0])


def rewrite(model: onnx.ModelProto, domain: str, op: str, replace: Callable[[Replacement], None]) -> None:
    """Replaces every node `op` of `domain` by the nodes that `replace` emits. Errors name the node."""
    if not any(n.op_type == op and n.domain == domain for n in model.graph.node):
        return
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type != op or node.domain != domain:
            nodes.append(node)
            continue
        replacement = Replacement(model.graph, node)
        try:
            replace(replacement)
        except (InvalidModel, Unsupported) as error:
            raise type(error)(f"{label(node)}: {error}") from error
        nodes += replacement.nodes
    replace_nodes(model.graph, nodes)
