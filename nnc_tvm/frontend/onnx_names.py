"""How messages name what is in an ONNX model, and where its tensors are."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

DEFAULT_DOMAINS = ("", "ai.onnx")


LONGEST_NAME = 80


def shortened(name: str) -> str:
    """A name as messages quote it: exporters join the names of modules, and the last of them say most."""
    return name if len(name) <= LONGEST_NAME else "..." + name[3 - LONGEST_NAME:]


def label(node: onnx.NodeProto) -> str:
    """A node's name, or its first output where it has none, and its operator."""
    return f"node '{shortened(node.name or next(iter(node.output), '?'))}' ({node.op_type})"


def opset_of(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operator set that the model imports; 0 without one."""
    return next((o.version for o in model.opset_import if o.domain in DEFAULT_DOMAINS), 0)


def graphs_of(graph: onnx.GraphProto) -> Iterator[tuple[onnx.GraphProto, int]]:
    """A graph and the subgraphs of its nodes, each with how deep it is nested."""
    pending = [(graph, 0)]
    while pending:
        graph, depth = pending.pop()
        yield graph, depth
        pending += [(g, depth + 1) for node in graph.node for a in node.attribute for g in ([a.g] if a.HasField("g") else a.graphs)]


def tensors_of(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of a graph and its subgraphs: initializers and attributes, and what sparse ones are made of."""
    for part, _ in graphs_of(graph):
        yield from part.initializer
        for sparse in part.sparse_initializer:
            yield from (sparse.values, sparse.indices)
        for attribute in (a for node in part.node for a in node.attribute):
            if attribute.HasField("t"):
                yield attribute.t
            if attribute.HasField("sparse_tensor"):
                yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)
            yield from attribute.tensors


def constant_tensors(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """Initializers and the tensors of Constant nodes, by name."""
    found = {t.name: t for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.output:
            found.update((node.output[0], a.t) for a in node.attribute if a.name == "value")
    return found
