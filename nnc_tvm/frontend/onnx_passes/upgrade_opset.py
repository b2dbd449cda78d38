"""Models of old operator sets are brought to opset 13, the oldest that the later passes read."""

from __future__ import annotations

import onnx
from onnx import version_converter

from nnc_tvm.errors import Unsupported
from nnc_tvm.frontend.onnx_names import opset_of
from nnc_tvm.frontend.shapes import one_line

TARGET = 13


def upgrade_opset(model: onnx.ModelProto) -> None:
    """Raises Unsupported where onnx's own converter cannot do it."""
    opset = opset_of(model)
    if opset >= TARGET:
        return
    try:
        model.CopyFrom(version_converter.convert_version(model, TARGET))
    except Exception as error:  # the converter raises RuntimeError and its own kinds
        raise Unsupported(f"opset {opset} cannot be brought to {TARGET}: {one_line(error)}; export the model with opset {TARGET} or newer") from error
