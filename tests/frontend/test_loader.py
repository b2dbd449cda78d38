"""Whole models: names, shapes, dtypes and quantization at the door, and the QDQ form within."""

from __future__ import annotations

import hashlib
import pathlib

import numpy as np
import onnx
import pytest
from onnx import helper

from nnc_tvm.frontend import IoTensor, load
from tests.frontend.execute import execute
from tests.frontend.onnx_builder import model_of, run_reference, save
from tests.tflite_builder import run_reference as run_tflite

MODELS = pathlib.Path(__file__).parents[3] / "shared" / "models"
needs_models = pytest.mark.skipif(not MODELS.is_dir(), reason="../shared/models is absent")


@needs_models
@pytest.mark.parametrize(("file", "inputs", "outputs"), [
    ("mlperf_tiny/kws_ref_model.tflite", [IoTensor("input_1", (1, 49, 10, 1), "int8", pytest.approx(0.58470, abs=1e-5), 83)],
     [IoTensor("Identity", (1, 12), "int8", 1 / 256, -128)]),
    ("mlperf_tiny/pretrainedResnet_fp32_kaijiang_v1.2.onnx", [IoTensor("input_1", (1, 3, 32, 32), "float32")], [IoTensor("Identity", (1, 10), "float32")]),
    ("mlperf_tiny/kws_fp32_nchw_derived.onnx", [IoTensor("input", (1, 1, 49, 10), "float32")], [IoTensor("prob", (1, 12), "float32")]),
    ("generated/lowrank_u8s8.onnx", [IoTensor("x", (1, 512, 14, 14), "float32")], [IoTensor("y", (1, 10), "float32")]),
])
def test_the_door(file: str, inputs: list[IoTensor], outputs: list[IoTensor]) -> None:
    path = MODELS / file
    source = load(path)
    assert list(source.inputs) == inputs and list(source.outputs) == outputs
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest() and source.file_bytes == path.stat().st_size
    assert source.name == path.stem and source.format == path.suffix[1:] and source.default_requantize == {"tflite": "fixed", "onnx": "float"}[source.format]
    assert len(source.module["main"].params) == len(inputs)


@needs_models
def test_float_tflite_equals_litert() -> None:
    pytest.importorskip("ai_edge_litert")
    path = MODELS / "tinymaix/mnist_resnet_f.tflite"
    source = load(path)
    x = np.random.default_rng(1).random(source.inputs[0].shape, np.float32)
    expected = run_tflite(path.read_bytes(), {source.inputs[0].name: x})[source.outputs[0].name]
    np.testing.assert_allclose(execute(source.module, [x])[0], expected, rtol=1e-4, atol=1e-5)


def quantized_conv(opset: int, activation: str, weight: str, per_channel: bool) -> onnx.ModelProto:
    rng = np.random.default_rng(5)
    low = {"int8": -128, "uint8": 0}
    w = rng.integers(low[weight], low[weight] + 256, (5, 3, 3, 3)).astype(weight)
    scale = rng.uniform(0.005, 0.02, 5).astype(np.float32) if per_channel else np.float32(0.01)
    zero = np.full(np.shape(scale), low[weight] + 128, weight)
    constants = {"xs": np.float32(0.04), "xz": np.array(low[activation] + 120, activation), "w": w, "ws": scale, "wz": zero,
                 "b": rng.integers(-500, 500, 5).astype(np.int32), "bs": (scale * np.float32(0.04)).astype(np.float32), "ys": np.float32(0.2),
                 "yz": np.array(low[activation] + 128, activation)}
    node = helper.make_node
    nodes = [node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]), node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
             node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
             node("DequantizeLinear", ["b", "bs"], ["bd"], axis=0), node("Conv", ["xd", "wd", "bd"], ["c"], pads=[1, 1, 1, 1]), node("Relu", ["c"], ["r"]),
             node("QuantizeLinear", ["r", "ys", "yz"], ["yq"]), node("DequantizeLinear", ["yq", "ys", "yz"], ["y"])]
    return model_of(nodes, {"x": ["batch", 3, 8, 8]}, ["y"], constants, opset)


@pytest.mark.parametrize(("opset", "activation", "weight", "per_channel"), [
    (13, "uint8", "int8", True), (13, "int8", "int8", False), (17, "uint8", "uint8", False),
    (19, "int8", "int8", True), (21, "uint8", "int8", True), (23, "int8", "int8", True),
    (onnx.defs.onnx_opset_version(), "int8", "int8", True),
])
def test_qdq(opset: int, activation: str, weight: str, per_channel: bool, tmp_path: pathlib.Path) -> None:
    """Integer weights stay behind their dequantize, and the meaning is ONNX Runtime's."""
    source = load(save(tmp_path, quantized_conv(opset, activation, weight, per_channel)))
    script = source.module.script()
    assert script.count("R.dequantize") == 4 and script.count("R.quantize") == 2
    x = np.random.default_rng(6).standard_normal((1, 3, 8, 8)).astype(np.float32) * 3
    # the newest operator sets are newer than ONNX Runtime; the meaning is that of opset 21
    expected = run_reference(save(tmp_path, quantized_conv(min(opset, 21), activation, weight, per_channel)), {"x": x})
    off = np.abs(execute(source.module, [x])[0] - expected[0]) / 0.2
    assert off.max() < 1.01 and (off > 0.01).mean() < 0.01


def test_names_of_the_source_stay(tmp_path: pathlib.Path) -> None:
    """TVM allows no dots in names."""
    inner = "/block.0/act/Relu_output_0"
    model = model_of([helper.make_node("Relu", ["x"], [inner]), helper.make_node("Neg", [inner], ["y"])], {"x": [1, 4]}, ["y"])
    names = [b.var.name for block in load(save(tmp_path, model)).module["main"].body.blocks for b in block.bindings]
    assert names[0] == "/block_0/act/Relu_output_0"


@pytest.mark.parametrize("outputs", [["y"], ["h", "y"], ["h"], ["y", "y2"]])
def test_results_keep_their_names(outputs: list[str], tmp_path: pathlib.Path) -> None:
    """Layers are called after the model's tensors, those that are results too, and those that an importer computes in another shape."""
    from nnc_tvm.relay_passes.pipeline import to_program

    w = np.ones((4, 3, 3), np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["h"]), helper.make_node("Softmax", ["h"], ["y"]), helper.make_node("Exp", ["h"], ["y2"])]
    program = to_program(load(save(tmp_path, model_of(nodes, {"x": (1, 3, 8)}, outputs, {"w": w}))).module, "float")
    assert next(layer.name for layer in program.layers if layer.operator.macs) == "h"
    assert {name.rstrip("_") for name in program.outputs} == set(outputs)
    assert set(outputs) <= {layer.name for layer in program.layers}
