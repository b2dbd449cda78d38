"""From the bytes of an .onnx file to a ModelProto."""

from __future__ import annotations

import onnx
from google.protobuf.message import DecodeError

from nnc_tvm.errors import InvalidModel
from nnc_tvm.frontend.guard import ModelFile


def parse_onnx(file: ModelFile) -> onnx.ModelProto:
    """The ModelProto in `file`, unchecked. Raises InvalidModel when the bytes are cut off or no ONNX model."""
    try:
        model = onnx.ModelProto.FromString(file.data)
    except DecodeError as error:
        raise InvalidModel(f"not an ONNX model, or a truncated one: {len(file.data)} bytes that do not parse as a protobuf") from error
    if not model.HasField("graph"):
        raise InvalidModel("holds no graph: not an ONNX model, or a truncated one")
    return model
