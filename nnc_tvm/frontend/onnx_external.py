"""Weights that an ONNX model keeps in files of their own."""

from __future__ import annotations

import pathlib

import onnx
from onnx.external_data_helper import ExternalDataInfo

from nnc_tvm.errors import InvalidModel
from nnc_tvm.frontend.onnx_names import tensors_of
from nnc_tvm.frontend.shapes import one_line


def load_external_data(model: onnx.ModelProto, path: pathlib.Path) -> list[bytes]:
    """Brings external tensors into `model`; returns the files' contents, each file once, in order of use.

    A file must lie in the model's folder or below it: a model must not be able to read other files of the machine.
    """
    files: dict[pathlib.Path, bytes] = {}
    for tensor in tensors_of(model.graph):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        try:
            info = ExternalDataInfo(tensor)
            file = _inside(path.parent, info.location, f"tensor '{tensor.name}'")
            if file not in files:
                if not file.is_file():
                    raise InvalidModel(f"tensor '{tensor.name}' is in the file '{info.location}', which is missing; put it beside the model")
                files[file] = file.read_bytes()
        except (ValueError, OSError, RuntimeError) as error:  # RuntimeError: a symlink to itself
            raise InvalidModel(f"tensor '{tensor.name}' names an external file that cannot be read: {one_line(error)}") from error
        start, length = int(info.offset or 0), int(info.length or len(files[file]) - int(info.offset or 0))
        if start < 0 or length < 0 or start + length > len(files[file]):
            raise InvalidModel(f"tensor '{tensor.name}' is bytes {start}..{start + length} of '{info.location}', which has {len(files[file])}")
        tensor.raw_data = files[file][start : start + length]
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]
    return list(files.values())


def _inside(folder: pathlib.Path, location: str, what: str) -> pathlib.Path:
    """The file `location` names, if it lies in `folder`."""
    root = folder.resolve()
    file = (root / location).resolve()
    if not location or not file.is_relative_to(root):
        raise InvalidModel(f"{what} is in the external file '{location}' outside the model's folder; refused, move the file beside the model")
    return file
