"""Whole ONNX QDQ networks, layer by layer: fed ONNX Runtime's own integers, each layer is within one step of what it computes."""

from __future__ import annotations

import pathlib

import numpy as np
import onnx
import pytest

from nnc_tvm.frontend import load
from nnc_tvm.reference import evaluate, run_program

MODELS = pathlib.Path(__file__).resolve().parents[2].parent / "shared" / "models" / "generated"
ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def every_tensor(path: pathlib.Path, x: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor of the graph as ONNX Runtime computes it node by node, without fusing."""
    model = onnx.load(path)
    known = {o.name for o in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for node in model.graph.node for name in node.output if name not in known)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options)
    names = [o.name for o in session.get_outputs()]
    # TVM writes dots in names as underscores
    return dict(zip((name.replace(".", "_") for name in names), session.run(None, {session.get_inputs()[0].name: x}), strict=True))


def as_ours(tensor: np.ndarray) -> np.ndarray:
    """uint8 NCHW as int8 NHWC."""
    shifted = (tensor.astype(np.int16) - 128).astype(np.int8) if tensor.dtype == np.uint8 else tensor
    return shifted.transpose(0, 2, 3, 1) if shifted.ndim == 4 else shifted


@pytest.mark.parametrize("name", ["resnet18_u8s8", "mobilenetv2_u8s8", "lowrank_u8s8"])
def test_every_layer_within_one_step(name: str) -> None:
    path = MODELS / f"{name}.onnx"
    if not path.exists():
        pytest.skip(f"{path.name} is not beside this checkout")
    from nnc_tvm.relay_passes.pipeline import to_program

    seed = 20261124
    source = load(path)
    program = to_program(source.module, "float")
    x = np.random.default_rng(seed).standard_normal(source.inputs[0].shape).astype(np.float32)
    theirs = every_tensor(path, x)
    ours = run_program(program, {program.inputs[0]: x})
    values = {**program.constants, **ours, program.inputs[0]: x}
    compared = 0
    for layer in program.layers:
        tensor = theirs.get(f"{layer.name}_QuantizeLinear_Output")
        computed = evaluate(layer.operator, *(values[i].reshape(t.shape) for i, t in zip(layer.inputs, layer.operator.inputs, strict=True)))
        if tensor is None or layer.operator.output.dtype != "int8" or tensor.size != computed.size or layer.name == program.inputs[0]:
            values[layer.output] = computed
            continue
        wanted = as_ours(tensor).reshape(computed.shape)
        off = np.abs(computed.astype(np.int16) - wanted).max()
        assert off <= 1, f"seed {seed}, layer '{layer.name}' ({type(layer.operator).__name__}): {off} steps from ONNX Runtime"
        values[layer.output] = wanted
        compared += 1
    assert compared >= 0.7 * sum(layer.operator.macs > 0 for layer in program.layers)
    wanted = theirs[source.outputs[0].name]
    error = ours[program.outputs[0]].reshape(wanted.shape) - wanted
    sqnr = 10 * np.log10(np.square(wanted).sum() / max(np.square(error).sum(), 1e-30))
    assert sqnr >= 25, f"seed {seed}: {sqnr:.1f} dB against ONNX Runtime"
