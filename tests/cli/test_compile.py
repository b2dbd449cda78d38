"""A trained model from file to predictions, through the command line alone."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

from nnc_tvm.cli.main import exit_code

DIGITS = pathlib.Path(__file__).parent.parent.parent / "examples/digits"


def predict(options: list[str], folder: pathlib.Path, images: np.ndarray, capsys: pytest.CaptureFixture[str]) -> np.ndarray:
    """Compiles into `folder`/p and runs it on all images."""
    assert exit_code(["compile", str(DIGITS / "digits_int8.onnx"), *options, "-o", str(folder / "p"), "--json"]) == 0
    manifest = json.loads(capsys.readouterr().out)
    assert manifest["name"] == "digits_int8" and manifest["requantize"] == "float" and manifest["model"]["format"] == "onnx"
    assert manifest == json.loads((folder / "p/manifest.json").read_text())
    np.savez(folder / "in.npz", **{manifest["inputs"][0]["name"]: images})
    assert exit_code(["run", str(folder / "p"), "--inputs", str(folder / "in.npz"), "--outputs", str(folder / "out.npz")]) == 0
    with np.load(folder / "out.npz") as arrays:
        return arrays[manifest["outputs"][0]["name"]]


@pytest.mark.qemu
def test_digits(arm: object, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    with np.load(DIGITS / "digits_test.npz") as test:
        images, labels = test["image"], test["label"]
    here = predict(["--target", "x86_cpu"], tmp_path, images, capsys)
    assert here.shape == (len(images), 10) and (here.argmax(1) == labels).mean() > 0.95
    foreign = predict(["--target", "arm_cpu", "--mcpu", "cortex-a76"], tmp_path, images, capsys)  # replaces the package
    np.testing.assert_array_equal(foreign, here)


def test_a_model_that_is_none_leaves_nothing(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.tflite").write_text("not a model at all")
    assert exit_code(["compile", str(tmp_path / "text.tflite"), "--target", "arm_cpu", "-o", str(tmp_path / "pkg")]) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["text.tflite"]
    assert "text.tflite" in capsys.readouterr().err.splitlines()[-1]
