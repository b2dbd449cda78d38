"""Nodes that hand their input on unchanged disappear."""

from __future__ import annotations

import onnx

from nnc_tvm.frontend.onnx_passes.graph import attributes, initializers, rename_reads, replace_nodes


def remove_identity(model: onnx.ModelProto) -> None:
    """Removes Identity, Dropout (inference) and Cast to the dtype a tensor already has; a node that makes an output of the model stays."""
    graph = model.graph
    outputs = {o.name for o in graph.output}
    dtypes = {t.name: t.data_type for t in initializers(graph).values()}
    dtypes.update({v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.value_info)})
    names: dict[str, str] = {}
    kept = []
    for node in graph.node:
        same = node.op_type in ("Identity", "Dropout") or (node.op_type == "Cast" and dtypes.get(node.input[0]) == attributes(node)["to"])
        training = node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]
        if same and not training and not outputs & set(node.output):
            names[node.output[0]] = names.get(node.input[0], node.input[0])
        else:
            kept.append(node)
    replace_nodes(graph, kept)
    rename_reads(graph, names)
