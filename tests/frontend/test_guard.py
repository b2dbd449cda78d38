from __future__ import annotations

import pathlib
import zipfile

import pytest

from nnc_tvm.errors import InvalidModel
from nnc_tvm.frontend import load
from nnc_tvm.frontend.guard import read_model_file


@pytest.mark.parametrize(("name", "data", "says"), [
    ("empty.onnx", b"", "empty"),
    ("empty.tflite", b"", "empty"),
    ("text.tflite", b"not a model at all" * 10, "not a TFLite model"),
    ("short.tflite", b"abc", "not a TFLite model"),
    ("archive.bin", b"PK\x03\x04" + b"x" * 40, "zip archive"),
    ("text.txt", b"just text", "neither a TFLite flatbuffer nor an ONNX"),
])
def test_refused(tmp_path: pathlib.Path, name: str, data: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InvalidModel, match=says) as error:
        read_model_file(tmp_path / name)
    assert name in str(error.value) and "\n" not in str(error.value)


def test_an_archive_that_unpacks_to_much_more(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "bomb.pt2"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/archive_format", "pt2")
        archive.writestr("m/models/model.json", "{}")
        archive.writestr("m/data/extra", bytes(1 << 24))
    with pytest.raises(InvalidModel, match=r"bomb.pt2: its \d+ bytes unpack to 16777221, most of them 'm/data/extra'; save it again"):
        load(path)


def test_missing_and_folder(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InvalidModel, match="no such file"):
        read_model_file(tmp_path / "absent.onnx")
    with pytest.raises(InvalidModel, match="folder"):
        read_model_file(tmp_path)


TFLITE, ONNX = b"\x1c\0\0\0TFL3", b"\x08\x0a"
NAMED = [("m.tflite", TFLITE, "tflite"), ("m.bin", TFLITE, "tflite"), ("m.onnx", ONNX, "onnx"), ("m", ONNX, "onnx")]


@pytest.mark.parametrize(("name", "data", "format"), NAMED)
def test_content_decides(tmp_path: pathlib.Path, name: str, data: bytes, format: str) -> None:
    (tmp_path / name).write_bytes(data)
    assert read_model_file(tmp_path / name).format == format
