"""The first look at a model file: is it there, is it whole, what is it? Content decides; the file's extension only words the message."""

from __future__ import annotations

import io
import pathlib
import zipfile
from dataclasses import dataclass

from nnc_tvm.errors import InvalidModel
from nnc_tvm.frontend.model import Format

TFLITE_IDENTIFIER = b"TFL3"  # at bytes 4..7, the flatbuffer's file identifier
ZIP = b"PK\x03\x04"
KNOWN_OTHERS = (
    (ZIP, "a zip archive (PyTorch's .pt, .npz, .keras), not a model; save a PyTorch model with torch.export.save, convert others to ONNX or TFLite"),
    (b"\x89HDF", "an HDF5 file; convert the Keras model to TFLite first"),
    (b"\x80\x02", "a Python pickle; export the model to ONNX first"),
    (b"\x80\x04", "a Python pickle; export the model to ONNX first"),
)


@dataclass(frozen=True)
class ModelFile:
    """A file that looks like a model of `format`."""

    path: pathlib.Path
    data: bytes
    format: Format


def read_model_file(path: pathlib.Path) -> ModelFile:
    """Reads `path` and tells its format. Raises InvalidModel when it is missing, unreadable, empty or none of the formats."""
    if not path.exists():
        raise InvalidModel(f"{path}: no such file")
    if path.is_dir():
        raise InvalidModel(f"{path}: a folder, not a model file; give the .tflite, .onnx or .pt2 file in it")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidModel(f"{path}: cannot be read: {error.strerror}") from error
    if not data:
        raise InvalidModel(f"{path}: the file is empty")
    return ModelFile(path, data, detect_format(path, data))


def detect_format(path: pathlib.Path, data: bytes) -> Format:
    """The format by content. Raises InvalidModel for what is none."""
    if data[4:8] == TFLITE_IDENTIFIER:
        return "tflite"
    if data.startswith(ZIP) and is_exported_archive(data):
        return "torch"
    for magic, what in KNOWN_OTHERS:
        if data.startswith(magic):
            raise InvalidModel(f"{path.name}: {what}")
    if path.suffix.lower() == ".tflite":
        raise InvalidModel(f"{path.name}: not a TFLite model: bytes 4..7 are {data[4:8]!r} where the identifier {TFLITE_IDENTIFIER!r} belongs")
    if path.suffix.lower() == ".onnx" or starts_like_onnx(data):
        return "onnx"
    raise InvalidModel(f"{path.name}: neither a TFLite flatbuffer nor an ONNX protobuf nor a torch.export archive; give a .tflite, .onnx or .pt2 file")


def is_exported_archive(data: bytes) -> bool:
    """Whether a zip archive is one that torch.export.save writes."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [name.split("/", 1)[-1] for name in archive.namelist()]
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return False
    return "archive_format" in names and any(name.startswith("models/") for name in names)


def starts_like_onnx(data: bytes) -> bool:
    """Whether the first protobuf key is one of ModelProto's: ir_version (1, varint), producer and friends (2..6), graph (7) or opset_import (8)."""
    field, wire_type = data[0] >> 3, data[0] & 7
    return (field, wire_type) in {(1, 0), (5, 0)} or (field in {2, 3, 4, 6, 7, 8, 14} and wire_type == 2)
