"""Forms of ONNX operators that would be read as other forms: refused by name rather than computed wrongly. One check per operator."""

from __future__ import annotations

from collections.abc import Callable

import onnx
from onnx import TensorProto

from nnc_tvm.errors import Unsupported
from nnc_tvm.frontend.onnx_names import label
from nnc_tvm.frontend.onnx_passes.graph import attributes


def bit_shift(node: onnx.NodeProto, model: onnx.ModelProto) -> None:
    """Signed operands may be shifted by negative counts and beyond their width, which machines do each in their own way."""
    values = (*model.graph.input, *model.graph.value_info)
    if any(v.name == node.input[0] and v.type.tensor_type.elem_type != TensorProto.UINT8 for v in values):
        raise Unsupported("shifts of signed integers; use uint8, or multiply by a power of two")


def roi_align(node: onnx.NodeProto, model: onnx.ModelProto) -> None:
    """The mean of the samples is known, their maximum is not."""
    if attributes(node).get("mode", "avg") != "avg":
        raise Unsupported("mode max; export the model with mode avg")


def space_to_depth(node: onnx.NodeProto, model: onnx.ModelProto) -> None:
    """Blocks come before channels."""
    if attributes(node).get("mode", "DCR") != "DCR":
        raise Unsupported("mode CRD; export the model with mode DCR")


FORMS: dict[str, Callable[[onnx.NodeProto, onnx.ModelProto], None]] = {
    "BitShift": bit_shift, "RoiAlign": roi_align, "SpaceToDepth": space_to_depth,
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
