"""Operators that ONNX itself defines by others, and that have no conversion, are written out as those (Celu, Swish, Attention, ...)."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import AttributeProto, TensorProto, helper, inliner

from nnc_tvm.errors import Unsupported
from nnc_tvm.frontend.onnx_names import label, opset_of
from nnc_tvm.frontend.onnx_passes.graph import infer_shapes
from nnc_tvm.frontend.shapes import one_line

DEEPEST = 8  # definitions by definitions
NAMESAKES = frozenset({"Attention"})  # TVM's conversion is of another domain's operator of that name


def expand_functions(model: onnx.ModelProto) -> None:
    from tvm.relax.frontend.onnx.onnx_frontend import _get_convert_map

    from nnc_tvm.frontend.onnx_converters import CONVERTERS

    known, opset = (_get_convert_map().keys() - NAMESAKES) | CONVERTERS.keys(), opset_of(model)
    for _ in range(DEEPEST):
        nodes = {n.op_type: n for n in model.graph.node if n.op_type not in known and onnx.defs.has(n.op_type, opset)}
        schemas = {name: onnx.defs.get_schema(name, opset) for name in nodes}
        kinds = [name for name, schema in schemas.items() if schema.has_function or schema.has_context_dependent_function]
        if not kinds:
            return
        try:
            write_defaults(model.graph, {name: schemas[name] for name in kinds})
            infer_shapes(model)
            declare_constants(model.graph)
            model.CopyFrom(inliner.inline_selected_functions(model, [("", name) for name in kinds], inline_schema_functions=True))
            infer_shapes(model)
        except Exception as error:  # the inliner raises RuntimeError and its own kinds
            raise Unsupported(f"{label(nodes[kinds[0]])}: its definition by other operators cannot be written out: {one_line(error)}") from error


def write_defaults(graph: onnx.GraphProto, schemas: Mapping[str, onnx.defs.OpSchema]) -> None:
    """Attributes that a node leaves out get their default: definitions refer to them, and neither the inliner nor shape inference fills them in."""
    for node in graph.node:
        if node.op_type in schemas and not node.domain:
            given = {a.name for a in node.attribute}
            defaults = [a.default_value for name, a in schemas[node.op_type].attributes.items() if name not in given]
            node.attribute.extend(a for a in defaults if a.type != AttributeProto.UNDEFINED)


def declare_constants(graph: onnx.GraphProto) -> None:
    """The inliner wants the types of all inputs of a node in value_info: of initializers, too, and of inputs that are left out, whose name is ""."""
    typed = {v.name for v in (*graph.input, *graph.value_info)}
    graph.value_info.extend(helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in graph.initializer if t.name not in typed)
    graph.value_info.append(helper.make_tensor_value_info("", TensorProto.FLOAT, None))
