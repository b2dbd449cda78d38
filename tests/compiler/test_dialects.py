"""Every quantized dialect of ONNX through the compiler: against ONNX Runtime with optimizations disabled, one step or one rounding apart."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from nnc_tvm.compiler import compile_model
from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.frontend import load
from nnc_tvm.reference import run_program
from nnc_tvm.relay_passes.pipeline import to_program
from nnc_tvm.run import run_package
from nnc_tvm.schedules.operators import Conv2d, Dense, MatMul
from nnc_tvm.targets.registry import get_target
from tests.frontend.onnx_builder import run_reference

SEED = 20261125
MS = "com.microsoft"
IMAGE = (1, 5, 9, 7)


@dataclass
class Graph:
    """A model in the making. rng: for all its values. steps: how many steps an integer output may be off."""

    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(SEED))
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    tensors: list[onnx.TensorProto] = field(default_factory=list)
    inputs: dict[str, np.ndarray] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=lambda: ["y"])

    def constant(self, value: Any, dtype: str | int | None = None) -> str:
        """An initializer of a NumPy dtype, or of an ONNX data type that NumPy lacks."""
        name = f"c{len(self.tensors)}"
        if isinstance(dtype, int):
            self.tensors.append(helper.make_tensor(name, dtype, np.shape(value), np.ravel(value)))
        else:
            self.tensors.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def input(self, value: np.ndarray) -> str:
        name = f"x{len(self.inputs)}"
        self.inputs[name] = value
        return name

    def node(self, op: str, inputs: Sequence[str], outputs: Sequence[str] = ("y",), domain: str = "", **attributes: Any) -> None:
        self.nodes.append(helper.make_node(op, list(inputs), list(outputs), domain=domain, **attributes))

    def integers(self, shape: Sequence[int], dtype: str) -> np.ndarray:
        info = np.iinfo(dtype)
        return self.rng.integers(info.min, info.max + 1, tuple(shape)).astype(dtype)

    def weights(self, *shape: int) -> np.ndarray:
        """Within [-64, 63]: ONNX Runtime's kernels for uint8 activations saturate pairs of larger products on CPUs without VNNI."""
        return self.rng.integers(-64, 64, shape).astype(np.int8)

    def reals(self, *shape: int) -> np.ndarray:
        return self.rng.standard_normal(shape).astype(np.float32)

    def pair(self, scale: float, zero: int, dtype: str) -> list[str]:
        return [self.constant(scale, "float32"), self.constant(zero, dtype)]

    def save(self, folder: pathlib.Path, opset: int = 21) -> pathlib.Path:
        inputs = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in self.inputs.items()]
        outputs = [onnx.ValueInfoProto(name=n) for n in self.outputs]
        graph = helper.make_graph(self.nodes, "g", inputs, outputs, self.tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(MS, 1)], ir_version=10)
        # the checker wants the outputs' types; ONNX Runtime infers them, we take them from there
        path = folder / "model.onnx"
        path.write_bytes(model.SerializeToString())
        results = run_reference(path, self.inputs)
        for value, result in zip(model.graph.output, results, strict=True):
            value.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(result.dtype)
        path.write_bytes(model.SerializeToString())
        return path


def qlinear_conv(g: Graph, activations: str = "uint8", per_channel: bool = True, **attributes: Any) -> None:
    group = attributes.get("group", 1)
    channels = 6 if group == 1 else 10
    scale = g.rng.uniform(0.002, 0.01, channels) if per_channel else 0.004
    x = g.input(g.integers(IMAGE, activations))
    zero = 117 if activations == "uint8" else -11
    g.node("QLinearConv", [x, *g.pair(0.02, zero, activations), g.constant(g.weights(channels, 5 // group, 3, 3)), g.constant(scale, "float32"),
                           g.constant(np.zeros(np.shape(scale)), "int8"), *g.pair(0.15, zero + 3, activations),
                           g.constant(g.rng.integers(-2000, 2000, channels), "int32")], **attributes)


def qlinear_matmul(g: Graph, dtype: str, constant: bool) -> None:
    a, b = g.input(g.integers((3, 7, 33), dtype)), g.weights(*((33, 11) if constant else (3, 33, 11)))
    scale = g.constant(g.rng.uniform(0.002, 0.01, 11) if constant else 0.005, "float32")
    zero = g.constant(np.zeros(11) if constant else 5, "int8")
    g.node("QLinearMatMul", [a, *g.pair(0.02, 3, dtype), g.constant(b) if constant else g.input(b), scale, zero, *g.pair(0.1, 4, dtype)])


def one_right_side(g: Graph) -> None:
    """A batch of products with one matrix that is computed at run time."""
    a, b = g.input(g.integers((3, 7, 33), "uint8")), g.input(g.weights(1, 33, 11))
    g.node("QLinearMatMul", [a, *g.pair(0.02, 3, "uint8"), b, *g.pair(0.005, 5, "int8"), *g.pair(0.1, 4, "uint8")])


def microsoft_binary(g: Graph, op: str, dtype: str) -> None:
    shapes = IMAGE, IMAGE if op == "QLinearAdd" else (1, 5, 1, 1)
    a, b = (g.input(g.integers(s, dtype)) for s in shapes)
    g.node(op, [a, *g.pair(0.0317, 7, dtype), b, *g.pair(0.0531, 9, dtype), *g.pair(0.0613, 11, dtype)], domain=MS)


def microsoft_unary(g: Graph, op: str, dtype: str, output: tuple[float, int] = (0.0413, 12), shape: Sequence[int] = IMAGE, **attributes: Any) -> None:
    g.node(op, [g.input(g.integers(shape, dtype)), *g.pair(0.0517, 9, dtype), *g.pair(*output, dtype)], domain=MS, **attributes)


def concat(g: Graph, dtype: str) -> None:
    parts = [[g.input(g.integers(IMAGE, dtype)), *g.pair(s, z, dtype)] for s, z in ((0.05, 3), (0.0411, 9), (0.0613, 1))]
    g.node("QLinearConcat", [*g.pair(0.05, 3, dtype), *(name for part in parts for name in part)], domain=MS, axis=1)


def qgemm(g: Graph, real: bool, trans_b: int, alpha: float = 1.0) -> None:
    a, b = g.input(g.integers((3, 33), "uint8")), g.weights(*((11, 33) if trans_b else (33, 11)))
    scale = g.constant(g.rng.uniform(0.002, 0.01, 11), "float32")
    bias, output = g.constant(g.rng.integers(-2000, 2000, 11), "int32"), [] if real else g.pair(0.1, 130, "uint8")
    g.node("QGemm", [a, *g.pair(0.02, 120, "uint8"), g.constant(b), scale, g.constant(np.zeros(11), "int8"), bias, *output], domain=MS,
           transB=trans_b, alpha=alpha)


def matmul_integer(g: Graph, dtype: str, zeros: bool) -> None:
    a = g.input(g.integers((3, 7, 33), dtype))
    extra = [g.constant(9, dtype), g.constant(g.rng.integers(-3, 4, 11), "int8")] if zeros else []
    g.node("MatMulInteger", [a, g.constant(g.weights(33, 11)), *extra])


def run_time_zero(g: Graph, op: str) -> None:
    x, weight = (g.integers(IMAGE, "uint8"), g.weights(6, 5, 3, 3)) if op == "ConvInteger" else (g.integers((4, 33), "uint8"), g.weights(33, 11))
    attributes = {"pads": [1, 0, 1, 2], "strides": [2, 1]} if op == "ConvInteger" else {}
    g.node(op, [g.input(x), g.constant(weight), g.input(np.array(77, np.uint8))], **attributes)


def dynamic_dense(g: Graph) -> None:
    """What ONNX Runtime's dynamic quantizer writes for a MatMul with bias; the quantized tensor, its scale and zero point are outputs too."""
    x = g.input(g.reals(4, 7, 33) * 3 + 1)
    g.node("DynamicQuantizeLinear", [x], ["q", "s", "z"])
    g.node("MatMulInteger", ["q", g.constant(g.weights(33, 11)), "z", g.constant(np.zeros((), np.int8))], ["i"])
    g.node("Cast", ["i"], ["f"], to=TensorProto.FLOAT)
    g.node("Mul", ["s", g.constant(0.02, "float32")], ["k"])
    g.node("Mul", ["f", "k"], ["m"])
    g.node("Add", ["m", g.constant(g.reals(11))])
    g.outputs = ["y", "q", "s", "z"]


def dynamic_conv(g: Graph) -> None:
    g.node("DynamicQuantizeLinear", [g.input(g.reals(*IMAGE) - 2)], ["q", "s", "z"])
    g.node("ConvInteger", ["q", g.constant(g.weights(6, 5, 3, 3)), "z"], ["i"], auto_pad="SAME_UPPER", strides=[2, 2])
    g.node("Cast", ["i"], ["f"], to=TensorProto.FLOAT)
    g.node("Mul", ["f", "s"])


def dynamic_product(g: Graph, op: str, order: int, dtype: str = "int8", channels: bool = False, bias: bool = False) -> None:
    """The factors in another order; weights with zero points; scales of one tensor or per channel."""
    convolution = op == "ConvInteger"
    x, shape, axis = (g.reals(*IMAGE) * 2 + 1, (6, 5, 3, 3), 0) if convolution else (g.reals(4, 33) - 1, (33, 6), 1)
    weight = g.integers(shape, dtype)
    # ONNX Runtime's convolutions take one zero point
    zero = g.constant(g.rng.integers(-9, 9, 6) + 9 if channels and not convolution else 3, dtype)
    scale = g.rng.uniform(0.01, 0.03, 6).reshape((1, 6, 1, 1) if convolution else 6) if channels else 0.02
    k, half = g.constant(scale, "float32"), g.constant(0.5, "float32")
    g.node("DynamicQuantizeLinear", [g.input(x)], ["q", "s", "z"])
    g.node(op, ["q", g.constant(weight), "z", zero], ["i"], **({"pads": [1, 0, 1, 2], "strides": [2, 1]} if convolution else {}))
    g.node("Cast", ["i"], ["f"], to=TensorProto.FLOAT)
    first, second = ((k, "s"), ("s", k), ("s", half))[order]
    g.node("Mul", [first, "f"], ["m"])
    g.node("Mul", ["m", second], ["n"])
    g.node("Mul", [k, "n"] if order == 2 else ["n", half], ["p"])
    g.node("Add", [g.constant(g.reals(6).reshape((1, 6, 1, 1) if convolution else 6) if bias else 0.0, "float32"), "p"])


def fused_product(g: Graph, op: str, channels: bool) -> None:
    """ONNX Runtime's fused forms."""
    weight, scale = g.constant(g.weights(33, 11)), g.constant(g.rng.uniform(0.01, 0.03, 11) if channels else [0.02], "float32")
    zero, bias = g.constant(np.zeros(11 if channels else 1), "int8"), g.constant(g.reals(11))
    x = g.input(g.reals(4, 33) * 2 + 1)
    if op == "DynamicQuantizeMatMul":
        g.node(op, [x, weight, scale, zero, bias], domain=MS)
    else:
        g.node("DynamicQuantizeLinear", [x], ["q", "s", "z"])
        g.node(op, ["q", weight, "s", scale, "z", zero, bias], domain=MS)


def int4_gemm(g: Graph, kind: int) -> None:
    low, high = (-8, 8) if kind == TensorProto.INT4 else (0, 16)
    pair = g.pair(0.03, 3, "int8")
    g.node("QuantizeLinear", [g.input(g.reals(4, 24)), *pair], ["q"])
    g.node("DequantizeLinear", ["q", *pair], ["d"])
    weight, scale = g.constant(g.rng.integers(low, high, (16, 24)), kind), g.constant(g.rng.uniform(0.01, 0.1, 16), "float32")
    g.node("DequantizeLinear", [weight, scale, g.constant(g.rng.integers(low, high, 16), kind)], ["w"], axis=0)
    g.node("Gemm", ["d", "w"], transB=1)


def int4_activation(g: Graph) -> None:
    pair = [g.constant(0.3, "float32"), g.constant([5], TensorProto.UINT4)]
    g.tensors[-1].dims[:] = []
    g.node("QuantizeLinear", [g.input(g.reals(4, 24) * 3), *pair], ["q"])
    g.node("DequantizeLinear", ["q", *pair])


def blocked_int4(g: Graph) -> None:
    weight = g.constant(g.rng.integers(-8, 8, (32, 12)), TensorProto.INT4)
    g.node("DequantizeLinear", [weight, g.constant(g.rng.uniform(0.01, 0.1, (4, 12)), "float32")], ["w"], axis=0, block_size=8)
    g.node("MatMul", [g.input(g.reals(4, 32)), "w"])


def matmul_n_bits(g: Graph, zeros: bool, k: int = 40) -> None:
    blocks = -(-k // 16)
    extra = [g.constant(g.integers((6 * -(-blocks // 2),), "uint8"))] if zeros else []
    weight = g.constant(g.integers((6, blocks, 8), "uint8"))
    g.node("MatMulNBits", [g.input(g.reals(3, k)), weight, g.constant(g.rng.uniform(0.01, 0.1, 6 * blocks), "float32"), *extra], domain=MS,
           K=k, N=6, bits=4, block_size=16)


def microsoft_qdq(g: Graph) -> None:
    pair = g.pair(0.05, 131, "uint8")
    g.node("QuantizeLinear", [g.input(g.reals(3, 8)), *pair], ["q"], domain=MS)
    g.node("DequantizeLinear", ["q", *pair], domain=MS)


def mixed(g: Graph) -> None:
    """A QLinear convolution, a float softmax and an integer product in one graph."""
    qlinear_conv(g, pads=[1, 1, 1, 1])
    g.nodes[-1].output[0] = "c"
    g.node("DequantizeLinear", ["c", *g.pair(0.15, 120, "uint8")], ["r"])
    g.node("Softmax", ["r"], ["s"], axis=1)
    g.node("DynamicQuantizeLinear", ["s"], ["q", "scale", "zero"])
    g.node("MatMulInteger", ["q", g.constant(g.weights(7, 4)), "zero"], ["i"])
    g.node("Cast", ["i"], ["f"], to=TensorProto.FLOAT)
    g.node("Mul", ["f", "scale"])


# name, function, arguments, whether every layer that multiplies must have its integer form
CASES: list[tuple[str, Any, dict[str, Any], bool]] = [
    ("QLinearConv, strided", qlinear_conv, {"pads": [1, 0, 1, 2], "strides": [2, 1]}, True),
    ("QLinearConv, int8, one scale", qlinear_conv, {"activations": "int8", "per_channel": False}, True),
    ("QLinearConv, depthwise", qlinear_conv, {"group": 5, "auto_pad": "SAME_UPPER"}, True),
    ("QLinearConv, dilated", qlinear_conv, {"dilations": [2, 3]}, True),
    *((f"QLinearMatMul, {d}, {'constant' if c else 'two activations'}", qlinear_matmul, {"dtype": d, "constant": c}, True)
      for d in ("uint8", "int8") for c in (True, False)),
    ("QLinearMatMul, one right side", one_right_side, {}, True),
    *((f"{op}, {d}", microsoft_binary, {"op": op, "dtype": d}, True) for op in ("QLinearAdd", "QLinearMul") for d in ("uint8", "int8")),
    *((f"QLinearConcat, {d}", concat, {"dtype": d}, True) for d in ("uint8", "int8")),
    *((f"QLinearSigmoid, {d}", microsoft_unary, {"op": "QLinearSigmoid", "dtype": d, "output": (1 / 256, 0)}, True) for d in ("uint8", "int8")),
    ("QLinearLeakyRelu", microsoft_unary, {"op": "QLinearLeakyRelu", "dtype": "uint8", "alpha": 0.3}, True),
    ("QLinearAveragePool", microsoft_unary,
     {"op": "QLinearAveragePool", "dtype": "uint8", "kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}, True),
    ("QLinearGlobalAveragePool", microsoft_unary, {"op": "QLinearGlobalAveragePool", "dtype": "uint8"}, True),
    ("QLinearSoftmax", microsoft_unary, {"op": "QLinearSoftmax", "dtype": "uint8", "output": (1 / 256, 0), "shape": (3, 10), "axis": -1, "opset": 13}, True),
    ("QLinearSoftmax of opset 11", microsoft_unary,
     {"op": "QLinearSoftmax", "dtype": "uint8", "output": (1 / 256, 0), "shape": (3, 4, 5), "axis": 1, "opset": 11}, True),
    ("QGemm", qgemm, {"real": False, "trans_b": 1}, True),
    ("QGemm, real result", qgemm, {"real": True, "trans_b": 0}, True),
    ("MatMulInteger, uint8", matmul_integer, {"dtype": "uint8", "zeros": True}, True),
    ("MatMulInteger, int8", matmul_integer, {"dtype": "int8", "zeros": False}, True),
    ("MatMulInteger, zero point at run time", run_time_zero, {"op": "MatMulInteger"}, True),
    ("ConvInteger, zero point at run time", run_time_zero, {"op": "ConvInteger"}, True),
    ("dynamic quantization of a dense layer", dynamic_dense, {}, True),
    ("dynamic quantization of a convolution", dynamic_conv, {}, True),
    *((f"dynamic quantization, {op}, {', '.join(f'{k} {v}' for k, v in kw.items())}", dynamic_product, {"op": op, **kw}, True)
      for op in ("ConvInteger", "MatMulInteger")
      for kw in ({"order": 0, "bias": True}, {"order": 1, "dtype": "uint8"}, {"order": 2, "channels": True}, {"order": 0, "dtype": "uint8", "channels": True})),
    *((f"{op}, {'scales' if c else 'a scale'}", fused_product, {"op": op, "channels": c}, True)
      for op in ("DynamicQuantizeMatMul", "MatMulIntegerToFloat") for c in (True, False)),
    ("int4 weights", int4_gemm, {"kind": TensorProto.INT4}, True),
    ("uint4 weights", int4_gemm, {"kind": TensorProto.UINT4}, True),
    ("uint4 activations", int4_activation, {}, True),
    ("int4 weights in blocks", blocked_int4, {}, False),
    ("MatMulNBits", matmul_n_bits, {"zeros": False}, False),
    ("MatMulNBits with zero points", matmul_n_bits, {"zeros": True}, False),
    ("com.microsoft QDQ", microsoft_qdq, {}, True),
    ("mixed", mixed, {}, True),
]
BY_NAME = {name: (function, arguments) for name, function, arguments, _ in CASES}


def built(name: str) -> Graph:
    function, arguments = BY_NAME[name]
    g = Graph()
    function(g, **arguments)
    return g


def close(found: np.ndarray, wanted: np.ndarray, name: str) -> None:
    """int32 is equal, int8 and uint8 within one step, rarely, float32 within the roundings of a sum."""
    assert found.dtype == wanted.dtype and found.size == wanted.size, name
    off = np.abs(found.reshape(wanted.shape).astype(np.float64) - wanted)
    if wanted.dtype == np.int32:
        assert not off.any(), f"seed {SEED}, {name}: {(off > 0).sum()} of {off.size} sums differ"
    elif wanted.dtype == np.float32:
        assert off.max() <= 1e-5 * max(np.abs(wanted).max(), 1), f"seed {SEED}, {name}: off by {off.max()}"
    else:
        assert off.max() <= 1 and (off > 0).mean() < 0.02, f"seed {SEED}, {name}: {(off > 0).sum()} of {off.size} off by up to {off.max()}"


@pytest.mark.parametrize(("name", "integer"), [pytest.param(name, integer, id=name) for name, _, _, integer in CASES])
def test_against_onnx_runtime(name: str, integer: bool, tmp_path: pathlib.Path) -> None:
    g = built(name)
    path = g.save(tmp_path)
    program = to_program(load(path).module, "float")
    values = run_program(program, g.inputs)
    for tensor, wanted, label in zip(program.outputs, run_reference(path, g.inputs), g.outputs, strict=True):
        close(values[tensor], wanted, label)
    multiplying = [layer.operator for layer in program.layers if isinstance(layer.operator, Conv2d | Dense | MatMul)]
    assert not integer or all(o.inputs[0].dtype == "int8" for o in multiplying)


@pytest.mark.parametrize("name", ["QLinearConv, strided", "MatMulInteger, int8", "dynamic quantization of a dense layer", "mixed"])
def test_packages(name: str, tmp_path: pathlib.Path) -> None:
    """The compiled package agrees with ONNX Runtime as well."""
    g = built(name)
    path = g.save(tmp_path)
    compile_model(path, get_target("x86_cpu"), tmp_path / "package")
    found = run_package(tmp_path / "package", g.inputs)
    for label, wanted in zip(g.outputs, run_reference(path, g.inputs), strict=True):
        close(found[label], wanted, label)


def test_full_int8_weights_are_exact(tmp_path: pathlib.Path) -> None:
    """ONNX Runtime may saturate here; the sums are those of integer arithmetic."""
    g = Graph()
    a, b = g.integers((5, 300), "int8"), g.integers((300, 9), "int8")
    g.node("MatMulInteger", [g.input(a), g.constant(b)])
    program = to_program(load(g.save(tmp_path)).module, "float")
    found = run_program(program, g.inputs)[program.outputs[0]]
    assert np.array_equal(found, a.astype(np.int32) @ b.astype(np.int32)), f"seed {SEED}"


def test_refused(tmp_path: pathlib.Path) -> None:
    """What has no meaning here is named."""
    g = Graph()
    microsoft_unary(g, "QLinearGlobalAveragePool", "uint8", shape=(1, 9, 7, 5), channels_last=1)
    with pytest.raises(Unsupported, match=r"'y' \(QLinearGlobalAveragePool\): channels_last is 1"):
        load(g.save(tmp_path))
    g = Graph()
    g.node("QLinearAdd", [g.input(g.integers((3,), "uint8")), g.constant(0.1, "float32")], domain=MS)
    graph = helper.make_graph(g.nodes, "g", [helper.make_tensor_value_info("x0", 2, [3])], [helper.make_tensor_value_info("y", 2, [3])], g.tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(MS, 1)], ir_version=10), tmp_path / "short.onnx")
    with pytest.raises(InvalidModel, match="'y' .QLinearAdd.: input 3 is missing"):
        load(tmp_path / "short.onnx")
