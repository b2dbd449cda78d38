"""Tensors without elements disappear where nothing depends on them: parts of a Split, inputs of a Concat."""

from __future__ import annotations

import onnx

from nnc_tvm.frontend.onnx_passes.graph import infer_shapes, initializers, replace_nodes, set_initializer, static_shapes


def remove_empty(model: onnx.ModelProto) -> None:
    """A Split into one part that is left hands its input on; so does a Concat of one tensor."""
    shapes = static_shapes(model)
    empty = {name for name, shape in shapes.items() if 0 in shape}
    if not empty:
        return
    constants, nodes = initializers(model.graph), []
    outputs = {o.name for o in model.graph.output}
    for node in model.graph.node:
        names = list(node.output if node.op_type == "Split" else node.input)
        kept = [name for name in names if name not in empty]
        if node.op_type not in ("Concat", "Split") or kept == names or not kept or outputs & empty & set(names):
            nodes.append(node)
        elif len(kept) == 1:
            source, target = (node.input[0], kept[0]) if node.op_type == "Split" else (kept[0], node.output[0])
            nodes.append(onnx.helper.make_node("Identity", [source], [target], node.name))
        else:
            copy = onnx.NodeProto.FromString(node.SerializeToString())
            field = copy.output if node.op_type == "Split" else copy.input
            del field[:]
            field.extend(kept)
            if node.op_type == "Split" and len(node.input) > 1 and node.input[1] in constants:
                sizes = onnx.numpy_helper.to_array(constants[node.input[1]])
                copy.input[1] = f"{kept[0]}::sizes"
                set_initializer(model.graph, copy.input[1], sizes[sizes > 0])
            nodes.append(copy)
    replace_nodes(model.graph, nodes)
    infer_shapes(model)
