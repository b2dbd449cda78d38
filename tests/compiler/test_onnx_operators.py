"""ONNX operators and small QDQ networks through the passes, against ONNX Runtime without graph optimizations.

Integers within one step, floats to 1e-5 of the largest value; `float` requantization, run by the oracle.
"""

from __future__ import annotations

import pathlib

import numpy as np
import onnx
import pytest
from onnx import helper

from nnc_tvm.errors import Unsupported
from nnc_tvm.frontend import load
from nnc_tvm.reference import run_program
from nnc_tvm.relay_passes.pipeline import to_program
from nnc_tvm.relay_passes.program import Program
from nnc_tvm.schedules.operators import DepthwiseConv2d, Primitive
from tests.compiler.onnx_networks import NETWORKS, Built, randn
from tests.compiler.onnx_qdq import QdqGraph
from tests.frontend.onnx_builder import model_of, run_reference, save
from tests.frontend.test_onnx_import import CASES, SEED, Case
from tests.frontend.test_onnx_import import build as build_float

pytest.importorskip("onnxruntime", reason="ONNX Runtime is the reference")
NEWEST_OF_REFERENCE = 23
KNOWN = [c for c in CASES if c.opset <= NEWEST_OF_REFERENCE]
INPUT, UNIT = (0.06, 5), (1 / 256, -128)
CHANNELS = {"Conv": 0, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1}  # the axis of the weights' output channels
FLOAT_PARAMETERS = ("Pad", "Resize", "Clip", "LayerNormalization", "BatchNormalization", "Pow")
# their outputs have the input's scale, so that they stay on the integers
MOVING = ("MaxPool", "GlobalMaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split", "Gather", "Tile", "Expand", "DepthToSpace",
          "Concat", "Pad", "Identity", "Relu", "Clip", "Resize")
# operators without an integer form; softmax has one along the last axis, Gemm where it does not scale
IN_FLOAT = ("BatchNormalization", "ReduceMax", "LogSoftmax", "Max", "Min", "Sum", "Mean", "LayerNormalization", "GatherElements", "GatherND", "ScatterElements",
            "ScatterND", "CumSum")
NAMES_IN_FLOAT = ("gemm transposed, scaled", "softmax on channels", "prelu", "pad reflect", "pad edge")


def within_a_step(program: Program, path: pathlib.Path, inputs: dict[str, np.ndarray]) -> None:
    """Integer outputs to one step, float ones to 1e-5 of the largest value."""
    values = run_program(program, inputs)
    for name, wanted in zip(program.outputs, run_reference(path, inputs), strict=True):
        found = values[name]
        assert found.dtype == wanted.dtype and found.shape == wanted.shape
        off = np.abs(found.astype(np.float64) - wanted.astype(np.float64)).max()
        assert off <= (1e-5 * max(np.abs(wanted).max(), 1e-3) if found.dtype == np.float32 else 1), f"'{name}' is off by {off}"


@pytest.mark.parametrize("case", KNOWN, ids=lambda c: c.name)
def test_float_operator(case: Case, tmp_path: pathlib.Path) -> None:
    print("seed", SEED)
    path = save(tmp_path, build_float(case))
    x = np.random.default_rng(SEED).standard_normal(case.shape).astype(np.float32) * 3
    within_a_step(to_program(load(path).module, "float"), path, {"x": x})


def quantized(case: Case, g: QdqGraph, per_channel: bool) -> list[str]:
    """The operator on a quantized input, with quantized weights and a bias in its units; its real outputs."""
    x = g.qdq("x", *INPUT)
    names: list[str] = []
    for i, value in enumerate(case.constants):
        if value is None:
            names.append("")
        elif np.asarray(value).dtype != np.float32 or case.op in FLOAT_PARAMETERS:
            names.append(g.constant(np.asarray(value)))
        elif case.op in CHANNELS and i == 1:
            names.append(g.bias(np.asarray(value), g.weight_scale(names[0]) * np.float32(INPUT[0])))
        else:
            axis = (0 if case.attributes.get("transB") else CHANNELS[case.op]) if case.op in CHANNELS else None
            names.append(g.weight(np.asarray(value), axis if per_channel and np.ndim(value) != 3 else None))
    outputs = [f"y{i}" for i in range(case.outputs)]
    g.nodes.append(helper.make_node(case.op, [x, *names], outputs, name="the_node", domain=case.domain, **case.attributes))
    return outputs


def quantized_model(case: Case, dtype: str, weights: str, per_channel: bool, folder: pathlib.Path, x: np.ndarray) -> pathlib.Path:
    """The operator between QuantizeLinear and DequantizeLinear; the outputs' scales hold 95 % of their range."""
    def saved(g: QdqGraph, outputs: dict[str, str]) -> pathlib.Path:
        model = g.model({"x": case.shape}, outputs, max(case.opset, 13))
        if case.domain:
            model.opset_import.append(helper.make_opsetid(case.domain, 1))
        return save(folder, model)

    g = QdqGraph(dtype, weights)
    reals = quantized(case, g, per_channel)
    outputs = {}
    for name, value in zip(reals, run_reference(saved(g, dict.fromkeys(reals, "float32")), {"x": x}), strict=True):
        scale = float(value.max(initial=0) - value.min(initial=0)) / 255 * 0.95
        q = (scale, int(np.clip(round(-128 - value.min(initial=0) / scale), -128, 127)))
        outputs[g.quantize(name, *(INPUT if case.op in MOVING else UNIT if case.op == "Softmax" else q))] = dtype
    return saved(g, outputs)


def variants() -> list[tuple[Case, str, str, bool]]:
    found = []
    for case in KNOWN:
        found += [(case, "int8", "int8", True), (case, "uint8", "int8", True)]
        if case.op in CHANNELS:
            found += [(case, "int8", "int8", False), (case, "uint8", "uint8", True), (case, "uint8", "uint8", False)]
    return found


@pytest.mark.parametrize(("case", "dtype", "weights", "per_channel"), [
    pytest.param(*v, id=f"{v[0].name}, {v[1]}, {v[2]} weights{' per channel' if v[3] else ''}" if v[0].op in CHANNELS else f"{v[0].name}, {v[1]}")
    for v in variants()])
def test_quantized_operator(case: Case, dtype: str, weights: str, per_channel: bool, tmp_path: pathlib.Path) -> None:
    print("seed", SEED)
    x = np.random.default_rng(SEED).standard_normal(case.shape).astype(np.float32) * 3
    path = quantized_model(case, dtype, weights, per_channel, tmp_path, x)
    program = to_program(load(path).module, "float")
    within_a_step(program, path, {"x": x})
    if case.op not in IN_FLOAT and case.name not in NAMES_IN_FLOAT:
        assert not any(isinstance(layer.operator, Primitive) for layer in program.layers)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("name", NETWORKS)
def test_network(name: str, dtype: str, tmp_path: pathlib.Path) -> None:
    print("seed", SEED)
    g = QdqGraph(dtype)
    shapes, outputs = NETWORKS[name](g)
    path = save(tmp_path, g.model(shapes, outputs))
    rng = np.random.default_rng(SEED)
    inputs = {n: rng.standard_normal(s).astype(np.float32) * 3 for n, s in shapes.items()}
    within_a_step(to_program(load(path).module, "float"), path, inputs)


@pytest.mark.parametrize("summands", [True, False])
def test_factors_of_channels_are_integers(summands: bool, tmp_path: pathlib.Path) -> None:
    """Of an image, with factors of either sign and zero, and a clamp."""
    print("seed", SEED)
    g = QdqGraph("int8")
    x = g.qdq(g.node("Conv", g.qdq("x", *INPUT), g.weight(randn(g, 7, 4, 3, 3), 0)), 0.2, -9)
    y = g.node("Mul", g.constant(np.array([0.3, -2, 0, 1, -0.01, 1e-6, 0.7], np.float32).reshape(7, 1, 1)), x)
    y = g.node("Relu", g.node("Add", y, g.constant(randn(g, 1, 7, 1, 1))) if summands else y)
    path = save(tmp_path, g.model({"x": (1, 4, 9, 8)}, {g.quantize(y, 0.1, -100): "int8"}))
    program = to_program(load(path).module, "float")
    within_a_step(program, path, {"x": np.random.default_rng(SEED).standard_normal((1, 4, 9, 8)).astype(np.float32) * 3})
    assert sum(isinstance(layer.operator, DepthwiseConv2d) for layer in program.layers) == 1
    assert not any(isinstance(layer.operator, Primitive) for layer in program.layers)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_integer_input(dtype: str, tmp_path: pathlib.Path) -> None:
    """An input that is dequantized, moved and dequantized, and cast to float as it is."""
    g = QdqGraph(dtype)
    pair = g.parameters(*INPUT)
    turned = g.node("DequantizeLinear", g.node("Transpose", "x", perm=[0, 1, 3, 2]), *pair)
    y = g.node("Conv", g.node("Add", turned, g.node("DequantizeLinear", "x", *pair)), g.weight(randn(g, 4, 4, 3, 3), 0))
    z = g.node("Mul", g.node("Cast", g.node("Reshape", "x", g.constant(np.array([4, 64]))), to=1), g.constant(np.float32(0.5)))
    model = g.model({"x": (1, 4, 8, 8)}, {g.quantize(y, 0.3): dtype, z: "float32"})
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.INT8 if dtype == "int8" else onnx.TensorProto.UINT8
    path = save(tmp_path, model)
    x = np.random.default_rng(SEED).integers(0, 256, (1, 4, 8, 8)).astype(np.uint8).view(dtype)
    within_a_step(to_program(load(path).module, "float"), path, {"x": x})


def volume(g: QdqGraph) -> Built:
    return {"x": (1, 2, 8, 8, 8)}, {g.node("Conv", g.qdq("x", *INPUT), g.weight(randn(g, 4, 2, 3, 3, 3))): "float32"}


def test_refused(tmp_path: pathlib.Path) -> None:
    g = QdqGraph()
    path = save(tmp_path, g.model(*volume(g)))
    with pytest.raises(Unsupported, match="Conv.*3 spatial dimensions") as error:
        to_program(load(path).module, "float")
    assert "\n" not in str(error.value)


def test_bias_beyond_int32(tmp_path: pathlib.Path) -> None:
    """A float bias that no int32 in the accumulator's units holds is named."""
    g = QdqGraph()
    y = g.quantize(g.node("Conv", g.qdq("x", *INPUT), g.weight(randn(g, 4, 4, 1, 1) * 1e-4, 0), g.constant(np.full(4, 1e9, np.float32))), 0.1)
    path = save(tmp_path, g.model({"x": (1, 4, 8, 8)}, {y: "int8"}))
    with pytest.raises(Unsupported, match="a bias of .* does not fit int32"):
        to_program(load(path).module, "float")


def test_identity_alone(tmp_path: pathlib.Path) -> None:
    model: onnx.ModelProto = model_of([helper.make_node("Identity", ["x"], ["y"])], {"x": (2, 3)}, ["y"])
    program = to_program(load(save(tmp_path, model)).module, "float")
    assert program.layers == () and program.outputs == program.inputs
