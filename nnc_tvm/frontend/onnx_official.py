"""ONNX's own checker and shape inference, with the node that they stumble over and the shapes that it reads in the message."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import onnx

from nnc_tvm.errors import InvalidModel
from nnc_tvm.frontend.onnx_names import label, shortened
from nnc_tvm.frontend.onnx_passes.graph import static_shapes
from nnc_tvm.frontend.shapes import one_line

REFUSALS = (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError, RuntimeError)
READ = 4  # inputs named in a message
LONGEST_REASON = 160
TAGS = re.compile(r"(\[[A-Za-z]+Error\]|Inference error\(s\):|\(op_type:[^)]*\):?)\s*")
CONTEXT = re.compile(r"Bad node spec for node\. Name:(.*) OpType: (\S+)")


def official_checker(model: onnx.ModelProto) -> None:
    """What ONNX's own checker refuses is no ONNX model: attributes, types and shapes must agree."""
    try:
        # the checker wants shapes that exporters may leave to inference
        complete = onnx.shape_inference.infer_shapes(model)
        shaped = [o for o in complete.graph.output if o.type.tensor_type.HasField("shape")]
        del complete.graph.output[:]
        complete.graph.output.extend(shaped)
        onnx.checker.check_model(complete, full_check=True)
    except REFUSALS as error:
        raise InvalidModel(explained(model, error)) from error


def explained(model: onnx.ModelProto, error: Exception) -> str:
    """The checker's message with its node, what that reads, and what to do."""
    reason = TAGS.sub("", one_line(error, len(str(error)))).strip().rstrip(".")[:LONGEST_REASON]
    nodes = model.graph.node
    place = first_refused(model)
    if place is not None:
        before = inferred(model, place)
        shapes = static_shapes(before if before is not None else model)
        return f"{label(nodes[place])}: {reason}; it reads {described_inputs(nodes[place], shapes)}; export the model again"
    named = CONTEXT.search(str(error))
    node = next((n for n in nodes if named and (n.name, n.op_type) == (named[1].strip(), named[2])), None)
    return f"{f'{label(node)}: ' if node is not None else ''}{reason}; export the model again"


def first_refused(model: onnx.ModelProto) -> int | None:
    """The place of the first node whose types or shapes cannot be inferred; None where all can."""
    low, high = 0, len(model.graph.node)
    if inferred(model, high) is not None:
        return None
    while high - low > 1:  # the first `low` nodes are in order, the first `high` are not
        middle = (low + high) // 2
        low, high = (low, middle) if inferred(model, middle) is None else (middle, high)
    return low


def inferred(model: onnx.ModelProto, count: int) -> onnx.ModelProto | None:
    """The first `count` nodes with their shapes, None where these contradict each other."""
    nodes = model.graph.node[:count]
    graph = onnx.helper.make_graph(nodes, "part", model.graph.input, declared_outputs(model, nodes), model.graph.initializer, value_info=model.graph.value_info)
    try:
        return onnx.shape_inference.infer_shapes(onnx.helper.make_model(graph, opset_imports=model.opset_import), check_type=True, strict_mode=True)
    except REFUSALS:
        return None


def declared_outputs(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> list[onnx.ValueInfoProto]:
    """The outputs of the graph that `nodes` make."""
    made = {name for node in nodes for name in node.output}
    return [o for o in model.graph.output if o.name in made]


def described_inputs(node: onnx.NodeProto, shapes: Mapping[str, Sequence[int]]) -> str:
    """What a node reads, with shapes where they are known: "'x' [1, 3, 8, 8] and 'b' [5]"."""
    names = [name for name in node.input if name]
    texts = [f"'{shortened(name)}'" + (f" {list(shapes[name])}" if name in shapes else "") for name in names[:READ]]
    return " and ".join(texts) + (" and more" if len(names) > READ else "") if texts else "nothing"
