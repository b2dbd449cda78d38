"""From the bytes of an .onnx file to a ModelProto."""

from __future__ import annotations

import onnx
from google.protobuf.message import DecodeError

from nnc_tvm.errors import InvalidModel
from nnc_tvm.frontend.guard import ModelFile
from nnc_tvm.frontend.onnx_checks import check_onnx
from nnc_tvm.frontend.onnx_external import load_external_data
from nnc_tvm.frontend.onnx_functions import inline_functions
from nnc_tvm.frontend.onnx_sparse import densify


def parse_onnx(file: ModelFile) -> onnx.ModelProto:
    """The ModelProto in `file`, unchecked. Raises InvalidModel when the bytes are cut off or no ONNX model."""
    try:
        model = onnx.ModelProto.FromString(file.data)
    except DecodeError as error:
        raise InvalidModel(f"not an ONNX model, or a truncated one: {len(file.data)} bytes that do not parse as a protobuf") from error
    if not model.HasField("graph"):
        raise InvalidModel("holds no graph: not an ONNX model, or a truncated one")
    return model


def checked_onnx(file: ModelFile) -> tuple[onnx.ModelProto, list[bytes]]:
    """(the model in `file`, checked, its functions written out and its sparse tensors dense; the contents of the file and of those with its weights).

    Raises InvalidModel and Unsupported.
    """
    model = parse_onnx(file)
    contents = [file.data, *load_external_data(model, file.path)]
    inline_functions(model)
    densify(model)
    check_onnx(model)
    return model, contents
