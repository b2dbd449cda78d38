"""load(): guard, checks, import."""

from __future__ import annotations

import hashlib
import pathlib

from nnc_tvm.frontend.guard import read_model_file
from nnc_tvm.frontend.model import SourceModel


def load(path: str | pathlib.Path) -> SourceModel:
    """The model file `path` as a QDQ module.

    Raises InvalidModel for files that are broken or contradict themselves and Unsupported for what nnc-tvm does not import; nothing
    else, whatever the file holds. Broken files are refused before TVM is loaded.
    """
    file = read_model_file(pathlib.Path(path))
    if file.format == "tflite":
        from nnc_tvm.frontend.tflite_checks import check_tflite

        model = check_tflite(file)
        from nnc_tvm.frontend.tflite_import import import_tflite

        module, inputs, outputs = import_tflite(model, file.path.name)
        external: list[bytes] = []
    else:
        from nnc_tvm.frontend.onnx_checks import check_onnx
        from nnc_tvm.frontend.onnx_external import load_external_data
        from nnc_tvm.frontend.onnx_file import parse_onnx

        proto = parse_onnx(file)
        external = load_external_data(proto, file.path)
        check_onnx(proto, file.path.name)
        from nnc_tvm.frontend.onnx_import import import_onnx

        module, inputs, outputs = import_onnx(proto, file.path.name)
    digest = hashlib.sha256(file.data)
    for data in external:
        digest.update(data)
    size = len(file.data) + sum(len(data) for data in external)
    return SourceModel(module, file.path.stem, digest.hexdigest(), size, file.format, "fixed" if file.format == "tflite" else "float", inputs, outputs)
