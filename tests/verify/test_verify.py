"""verify, from the command line: packages against ONNX Runtime, LiteRT and the project's own reference."""

from __future__ import annotations

import json
import pathlib
from typing import Any
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest

from nnc_tvm.cli.main import exit_code
from nnc_tvm.verify import source as source_module
from tests.compiler.onnx_qdq import QdqGraph

SEED = 17
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def image_model(quantized: bool) -> onnx.ModelProto:
    """Convolution, ReLU, convolution on (1, 3, 6, 5); quantized to uint8 or float, with the same names of tensors."""
    rng = np.random.default_rng(SEED)
    g = QdqGraph("uint8")
    first, second = rng.standard_normal((8, 3, 3, 3)) / 5, rng.standard_normal((4, 8, 1, 1)) / 3
    x = g.qdq("x", 0.03) if quantized else "x"
    a = g.node("Relu", g.node("Conv", x, g.weight(first, 0) if quantized else g.constant(first.astype(np.float32)), pads=[1, 1, 1, 1]))
    if quantized:
        a = g.qdq(a, 0.02, -128)
    y = g.node("Conv", a, g.weight(second, 0) if quantized else g.constant(second.astype(np.float32)))
    y = g.qdq(y, 0.02) if quantized else y
    g.nodes[-1].output[0] = "y"
    names = iter(("hidden", "out"))
    for node in g.nodes:
        if node.op_type == ("QuantizeLinear" if quantized else "Relu") and node.input[0] != "x":
            rename(g, node.output[0], next(names) + ("_QuantizeLinear_Output" if quantized else ""))
    return g.model({"x": (1, 3, 6, 5)}, {"y": "float32"})


def rename(g: QdqGraph, old: str, new: str) -> None:
    for node in g.nodes:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = new if name == old else name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A package "net", its model, the float original and inputs."""
    print("seed", SEED)
    folder = tmp_path_factory.mktemp("verify")
    onnx.save(image_model(True), folder / "net.onnx")
    onnx.save(image_model(False), folder / "original.onnx")
    np.savez(folder / "in.npz", x=np.random.default_rng(SEED).standard_normal((6, 3, 6, 5)).astype(np.float32))
    assert exit_code(["compile", str(folder / "net.onnx"), "--target", "x86_cpu", "-o", str(folder / "net")]) == 0
    return folder


def verify(folder: pathlib.Path, capsys: pytest.CaptureFixture[str], model: str = "net.onnx", *options: str) -> dict[str, Any]:
    assert exit_code(["verify", str(folder / "net"), str(folder / model), "--inputs", str(folder / "in.npz"), "--json", *options]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert isinstance(found, dict)
    return found


def test_against_onnx_runtime(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = verify(folder, capsys)
    assert found["source"].startswith("ONNX Runtime") and found["same_model"] and found["samples"] == 6 and not found["notes"]
    layers = {layer["name"]: layer for layer in found["layers"]}
    assert layers["hidden"]["max_diff"] <= 1 and layers["hidden"]["unit"] == "steps"
    assert layers["out"]["exact"] or layers["out"]["sqnr_db"] > 30
    assert found["argmax_agreement"] >= 5 / 6


def test_against_the_float_original(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = verify(folder, capsys, "original.onnx")
    assert not found["same_model"] and "other bytes" in found["notes"][0]
    hidden = next(layer for layer in found["layers"] if layer["name"] == "hidden")
    assert hidden["unit"] == "reals" and 20 < hidden["sqnr_db"] < 60


def test_without_a_runtime_the_reference_decides(folder: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise source_module.Cannot("onnxruntime is not installed")

    monkeypatch.setattr("nnc_tvm.verify.onnx_runtime.open_source", refuse)
    found = verify(folder, capsys)
    assert "reference" in found["source"] and "not installed" in found["notes"][0]
    assert found["exact"] and all(layer["exact"] for layer in found["layers"]) and len(found["layers"]) >= 3


def test_text_and_picture(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["verify", str(folder / "net"), str(folder / "net.onnx"), "--inputs", str(folder / "in.npz")]
    assert exit_code([*arguments, "--plot", str(folder / "p.svg")]) == 0
    text = capsys.readouterr().out
    assert "largest difference" in text and "argmax agrees on" in text and "hidden" in text
    assert "hidden" in "".join(ElementTree.parse(folder / "p.svg").getroot().itertext())
    assert exit_code([*arguments, "--plot", str(folder / "p.png")]) == 2
    assert "p.svg" in capsys.readouterr().err


def test_models_of_other_inputs_are_refused(folder: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    g = QdqGraph()
    rename(g, g.node("Relu", "other"), "y")
    onnx.save(g.model({"other": (1, 3, 6, 5)}, {"y": "float32"}), tmp_path / "other.onnx")
    assert exit_code(["verify", str(folder / "net"), str(tmp_path / "other.onnx"), "--inputs", str(folder / "in.npz")]) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("nnc-tvm: error: other.onnx") and "cannot run it on the package's inputs" in last and "was compiled from" in last


def test_tflite_is_exact(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ai_edge_litert", reason="LiteRT is the reference")
    from tests.tflite_builder import Node, Tensor, build_model

    shape = (1, 6, 5, 4)
    tensors = [Tensor("x", shape, "int8", 0.05, 5), Tensor("z", shape, "int8", 0.03, 9),
               Tensor("a.first;fused", shape, "int8", 0.09, -7), Tensor("y", shape, "int8", 1 / 256, -128)]
    nodes = [Node("ADD", ("x", "z"), ("a.first;fused",), ("AddOptions", {})), Node("LOGISTIC", ("a.first;fused",), ("y",))]
    print("seed", SEED)
    (tmp_path / "net.tflite").write_bytes(build_model(tensors, nodes, ["x", "z"], ["y"]))
    rng = np.random.default_rng(SEED)
    np.savez(tmp_path / "in.npz", **{name: rng.integers(-128, 128, (4, *shape), np.int8) for name in ("x", "z")})
    assert exit_code(["compile", str(tmp_path / "net.tflite"), "--target", "x86_cpu", "-o", str(tmp_path / "net")]) == 0
    found = verify(tmp_path, capsys, "net.tflite")
    assert "BUILTIN_REF" in found["source"] and found["exact"] and found["argmax_agreement"] == 1
    assert "a.first;fused" in [layer["source"] for layer in found["layers"]] and all(layer["exact"] for layer in found["layers"])
