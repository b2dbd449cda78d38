"""Operators that ONNX itself defines by others, and that have no conversion, are written out as those (Celu, Swish, MeanVarianceNormalization, ...)."""

from __future__ import annotations

import onnx
from onnx import inliner

from nnc_tvm.errors import Unsupported
from nnc_tvm.frontend.onnx_names import label, opset_of
from nnc_tvm.frontend.shapes import one_line

DEEPEST = 8  # definitions by definitions


def expand_functions(model: onnx.ModelProto) -> None:
    from tvm.relax.frontend.onnx.onnx_frontend import _get_convert_map

    from nnc_tvm.frontend.onnx_converters import CONVERTERS

    known, opset = _get_convert_map().keys() | CONVERTERS.keys(), opset_of(model)
    for _ in range(DEEPEST):
        nodes = {n.op_type: n for n in model.graph.node if n.op_type not in known and onnx.defs.has(n.op_type, opset)}
        schemas = {name: onnx.defs.get_schema(name, opset) for name in nodes}
        kinds = [name for name, schema in schemas.items() if schema.has_function or schema.has_context_dependent_function]
        if not kinds:
            return
        try:
            model.CopyFrom(inliner.inline_selected_functions(model, [("", name) for name in kinds], inline_schema_functions=True))
        except Exception as error:  # the inliner raises RuntimeError and its own kinds
            raise Unsupported(f"{label(nodes[kinds[0]])}: its definition by other operators cannot be written out: {one_line(error)}") from error
