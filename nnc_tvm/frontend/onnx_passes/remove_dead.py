"""Nodes and initializers that no output depends on disappear."""

from __future__ import annotations

import onnx

from nnc_tvm.frontend.onnx_passes.graph import replace_nodes


def remove_dead(model: onnx.ModelProto) -> None:
    graph = model.graph
    live = {o.name for o in graph.output}
    kept = []
    for node in reversed(graph.node):
        if live & set(node.output):
            live.update(node.input)
            kept.append(node)
    replace_nodes(graph, kept[::-1])
    tensors = [t for t in graph.initializer if t.name in live]
    if len(tensors) != len(graph.initializer):
        copies = [onnx.TensorProto.FromString(t.SerializeToString()) for t in tensors]
        del graph.initializer[:]
        graph.initializer.extend(copies)
