"""Forms of ONNX operators that would be read as other forms: refused by name rather than computed wrongly. One check per operator."""

from __future__ import annotations

from collections.abc import Callable

import onnx

from nnc_tvm.errors import Unsupported
from nnc_tvm.frontend.onnx_names import label
from nnc_tvm.frontend.onnx_passes.graph import attributes


def roi_align(node: onnx.NodeProto, model: onnx.ModelProto) -> None:
    """The mean of the samples is known, their maximum is not."""
    if attributes(node).get("mode", "avg") != "avg":
        raise Unsupported("mode max; export the model with mode avg")


FORMS: dict[str, Callable[[onnx.NodeProto, onnx.ModelProto], None]] = {
    "RoiAlign": roi_align
}


def check_forms(model: onnx.ModelProto) -> None:
    """Raises Unsupported naming the first node in such a form."""
    for node in model.graph.node:
        check = FORMS.get(node.op_type)
        if check is None:
            continue
        try:
            check(node, model)
        except Unsupported as error:
            raise Unsupported(f"{label(node)}: {error}") from error
