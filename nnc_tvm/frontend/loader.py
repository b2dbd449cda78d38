"""load(): guard, checks, import. The map of this folder."""

from __future__ import annotations

import hashlib
import os
import pathlib

from nnc_tvm.errors import InvalidInput, InvalidModel, Unsupported
from nnc_tvm.frontend.guard import ModelFile, read_model_file
from nnc_tvm.frontend.model import SourceModel
from nnc_tvm.frontend.shapes import one_line
from nnc_tvm.frontend.torch_file import ExportedProgram, digest, is_exported_program, parse_pt2


def load(model: str | pathlib.Path | ExportedProgram, batch: int | None = None) -> SourceModel:
    """A model file, or what torch.export.export returned, as a QDQ module.

    batch: what a dynamic batch becomes; None is 1, and takes a model of fixed batch as it is.
    Raises InvalidModel for files that are broken or contradict themselves and Unsupported for what nnc-tvm does not import; nothing
    else, whatever the file holds, and always in one line. Broken files are refused before TVM is loaded.
    """
    if is_exported_program(model):
        return import_program(model, "model", *digest(model), batch)
    if not isinstance(model, str | os.PathLike):
        raise InvalidInput(f"a {type(model).__name__} is not a model: give the path of a file, or torch.export.export(module.eval(), example_inputs)")
    file = read_model_file(pathlib.Path(model))
    try:
        return LOADERS[file.format](file, batch)
    except (InvalidModel, Unsupported) as error:
        raise type(error)(f"{file.path.name}: {one_line(error, 380)}") from error.__cause__


def load_tflite(file: ModelFile, batch: int | None) -> SourceModel:
    if batch not in (None, 1):
        raise Unsupported(f"a batch of {batch}: TFLite files fix every shape; convert the model with this batch")
    from nnc_tvm.frontend.tflite_checks import check_tflite
    from nnc_tvm.frontend.tflite_file import parse_tflite

    model = parse_tflite(file)
    check_tflite(model)
    from nnc_tvm.frontend.tflite_import import import_tflite

    module, inputs, outputs = import_tflite(model)
    return SourceModel(module, file.path.stem, hashlib.sha256(file.data).hexdigest(), len(file.data), "tflite", "fixed", inputs, outputs)


def load_onnx(file: ModelFile, batch: int | None) -> SourceModel:
    from nnc_tvm.frontend.onnx_file import checked_onnx

    proto, contents = checked_onnx(file)
    from nnc_tvm.frontend.onnx_import import import_onnx
    from nnc_tvm.frontend.onnx_passes.fix_batch import set_batch

    if batch is not None:
        set_batch(proto, batch)
    module, inputs, outputs = import_onnx(proto)
    digest = hashlib.sha256(b"".join(contents)).hexdigest()
    return SourceModel(module, file.path.stem, digest, sum(len(c) for c in contents), "onnx", "float", inputs, outputs)


def load_pt2(file: ModelFile, batch: int | None) -> SourceModel:
    return import_program(parse_pt2(file), file.path.stem, hashlib.sha256(file.data).hexdigest(), len(file.data), batch)


def import_program(program: ExportedProgram, name: str, sha256: str, size: int, batch: int | None) -> SourceModel:
    from nnc_tvm.frontend.torch_import import import_torch

    module, inputs, outputs = import_torch(program, batch)
    return SourceModel(module, name, sha256, size, "torch", "float", inputs, outputs)


LOADERS = {"tflite": load_tflite, "onnx": load_onnx, "torch": load_pt2}
