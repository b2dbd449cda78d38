"""Small float networks of random weights, written as ONNX."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from tests.frontend.onnx_builder import model_of


class Network:
    """Collects nodes; every method returns the name of its result. Arrays among a node's inputs become constants."""

    def __init__(self, shape: Sequence[int], seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.shape, self.nodes, self.constants = list(shape), list[onnx.NodeProto](), dict[str, np.ndarray]()

    def node(self, kind: str, *inputs: Any, **attributes: Any) -> str:
        names = []
        for x in inputs:
            if not isinstance(x, str):
                self.constants[f"c{len(self.constants)}"] = np.asarray(x)
                x = f"c{len(self.constants) - 1}"
            names.append(x)
        output = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [output], output, **attributes))
        return output

    def normal(self, *shape: int, scale: float = 1.0) -> np.ndarray:
        return (self.rng.standard_normal(shape) * scale).astype(np.float32)

    def conv(self, x: str, inputs: int, outputs: int, kernel: int = 3, groups: int = 1) -> str:
        weight = self.normal(outputs, inputs // groups, kernel, kernel, scale=(kernel * kernel * inputs / groups) ** -0.5)
        return self.node("Conv", x, weight, self.normal(outputs, scale=0.1), pads=[kernel // 2] * 4, group=groups)

    def linear(self, x: str, inputs: int, outputs: int) -> str:
        return self.node("Add", self.node("MatMul", x, self.normal(inputs, outputs, scale=inputs**-0.5)), self.normal(outputs, scale=0.1))

    def layer_norm(self, x: str, width: int) -> str:
        """Written out, as older exporters do."""
        centered = self.node("Sub", x, self.node("ReduceMean", x, axes=[-1]))
        variance = self.node("ReduceMean", self.node("Pow", centered, np.float32(2)), axes=[-1])
        normal = self.node("Div", centered, self.node("Sqrt", self.node("Add", variance, np.float32(1e-5))))
        return self.node("Add", self.node("Mul", normal, 1 + self.normal(width, scale=0.1)), self.normal(width, scale=0.1))

    def model(self, *outputs: str) -> onnx.ModelProto:
        return model_of(self.nodes, {"x": self.shape}, outputs, self.constants)


def residual(seed: int) -> onnx.ModelProto:
    n = Network([1, 8, 10, 10], seed)
    y = n.node("Relu", n.conv("x", 8, 8))
    y = n.node("Relu", n.node("Add", n.conv(y, 8, 8, groups=8), y))
    y = n.node("Flatten", n.node("AveragePool", y, kernel_shape=[2, 2], strides=[2, 2]))
    return n.model(n.node("Softmax", n.node("Gemm", y, n.normal(10, 200, scale=0.1), n.normal(10), transB=1), axis=1))


def activations(seed: int) -> onnx.ModelProto:
    n = Network([1, 8, 6, 6], seed)
    y = n.conv("x", 8, 8)
    y = n.conv(n.node("Mul", y, n.node("Sigmoid", y)), 8, 8)
    y = n.conv(n.node("Clip", y, np.float32(-1), np.float32(1)), 8, 8)
    y = n.conv(n.node("LeakyRelu", y, alpha=0.1), 8, 8)
    return n.model(y, n.node("Tanh", y))


def squeeze_excite(seed: int) -> onnx.ModelProto:
    n = Network([1, 8, 6, 6], seed)
    y = n.node("Relu", n.conv("x", 8, 8))
    gate = n.node("HardSigmoid", n.conv(n.node("GlobalAveragePool", y), 8, 8, 1), alpha=0.2, beta=0.5)
    return n.model(n.conv(n.node("Mul", y, gate), 8, 4))


def branches(seed: int) -> onnx.ModelProto:
    n = Network([1, 4, 8, 8], seed)
    a, b = n.node("Relu", n.conv("x", 4, 4)), n.node("MaxPool", n.conv("x", 4, 4), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    y = n.node("Concat", a, b, axis=1)
    y = n.node("Resize", y, "", np.array([1, 1, 2, 2], np.float32), mode="linear")
    return n.model(n.conv(y, 8, 4))


def batch_norm(seed: int) -> onnx.ModelProto:
    n = Network([1, 4, 8, 8], seed)
    statistics = [1 + np.abs(n.normal(4, scale=0.2)) for _ in range(4)]
    y = n.node("Conv", "x", n.normal(4, 4, 3, 3, scale=0.2), pads=[1, 1, 1, 1])
    y = n.node("Mul", n.node("BatchNormalization", y, *statistics), 1 + n.normal(4, 1, 1, scale=0.1))
    return n.model(n.conv(n.node("Relu", y), 4, 4))


def attention(seed: int) -> onnx.ModelProto:
    n = Network([1, 6, 16], seed)
    h = n.layer_norm("x", 16)
    query, key, value = (n.linear(h, 16, 16) for _ in range(3))
    scores = n.node("Mul", n.node("MatMul", query, n.node("Transpose", key, perm=[0, 2, 1])), np.float32(0.25))
    mixed = n.node("MatMul", n.node("Softmax", scores, axis=-1), value)
    y = n.node("Add", n.linear(mixed, 16, 16), "x")
    return n.model(n.linear(y, 16, 4))


def sequence(seed: int) -> onnx.ModelProto:
    """Convolutions of one dimension, which are computed as two: a reshape comes between them and their activation."""
    n = Network([1, 4, 20], seed)
    y = n.node("Relu", n.node("Conv", "x", n.normal(6, 4, 3, scale=0.3), n.normal(6), pads=[1, 1]))
    y = n.node("MaxPool", y, kernel_shape=[2], strides=[2])
    return n.model(n.node("Conv", y, n.normal(5, 6, 3, scale=0.3)))


NETWORKS: dict[str, Callable[[int], onnx.ModelProto]] = {
    "residual": residual, "activations": activations, "squeeze_excite": squeeze_excite, "branches": branches, "batch_norm": batch_norm,
    "attention": attention, "sequence": sequence,
}


def load_network(folder: pathlib.Path, model: onnx.ModelProto) -> Any:
    from nnc_tvm.frontend import load
    from tests.frontend.onnx_builder import save

    return load(save(folder, model))
