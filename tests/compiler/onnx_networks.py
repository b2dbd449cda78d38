"""Small QDQ networks: what quantizers leave between operators, and what a graph can do with its tensors. Each yields (input shapes, outputs)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import helper

from tests.compiler.onnx_qdq import QdqGraph

Shapes = dict[str, tuple[int, ...]]
Built = tuple[Shapes, dict[str, str]]
NETWORKS: dict[str, Callable[[QdqGraph], Built]] = {}
SEED = 3
IMAGE: Shapes = {"x": (1, 4, 8, 8)}
X, A = (0.05, 3), (0.1, 1)  # quantization of the input, of most others
UNIT = (1 / 256, -128)


def network(function: Callable[[QdqGraph], Built]) -> Callable[[QdqGraph], Built]:
    NETWORKS[function.__name__] = function
    return function


def randn(g: QdqGraph, *shape: int) -> np.ndarray:
    return np.random.default_rng(SEED + len(g.nodes) + len(g.constants)).standard_normal(shape).astype(np.float32)


def conv(g: QdqGraph, x: str, outputs: int, inputs: int, kernel: int = 3, scale: float = X[0], **attributes: Any) -> str:
    w = g.weight(randn(g, outputs, inputs, kernel, kernel) / 4, 0)
    b = g.bias(randn(g, outputs), g.weight_scale(w) * np.float32(scale))
    return g.node("Conv", x, w, b, **{"pads": [kernel // 2] * 4, **attributes})


def ends(g: QdqGraph, y: str, scale: float = 0.1, zero: int = 0) -> dict[str, str]:
    """The quantized tensor y as the output."""
    return {g.quantize(y, scale, zero): g.dtype}


@network
def sigmoid_without_quantize(g: QdqGraph) -> Built:
    return IMAGE, ends(g, g.node("Sigmoid", conv(g, g.qdq("x", *X), 5, 4)), *UNIT)


@network
def swish_without_quantize(g: QdqGraph) -> Built:
    a = conv(g, g.qdq("x", *X), 8, 4)
    return IMAGE, ends(g, g.node("Mul", a, g.node("Sigmoid", a)))


@network
def leaky_relu_without_quantize(g: QdqGraph) -> Built:
    return IMAGE, ends(g, g.node("LeakyRelu", conv(g, g.qdq("x", *X), 4, 4), alpha=0.1))


@network
def max_pool_without_quantize(g: QdqGraph) -> Built:
    return IMAGE, ends(g, g.node("MaxPool", g.node("Relu", conv(g, g.qdq("x", *X), 4, 4)), kernel_shape=[2, 2], strides=[2, 2]))


@network
def average_pool_without_quantize(g: QdqGraph) -> Built:
    return IMAGE, ends(g, g.node("AveragePool", g.node("Relu", conv(g, g.qdq("x", *X), 4, 4)), kernel_shape=[2, 2], strides=[2, 2]))


@network
def concat_without_quantize(g: QdqGraph) -> Built:
    x = g.qdq("x", *X)
    return IMAGE, ends(g, g.node("Concat", conv(g, x, 4, 4), conv(g, x, 3, 4), axis=1))


@network
def float_outputs(g: QdqGraph) -> Built:
    """Straight from an integer convolution, with its activation and without."""
    x = g.qdq("x", *X)
    return IMAGE, {conv(g, x, 5, 4): "float32", g.node("Relu", conv(g, x, 5, 4)): "float32"}


@network
def float_gemm_output(g: QdqGraph) -> Built:
    w = g.weight(randn(g, 7, 6), 0)
    return {"x": (2, 6)}, {g.node("Gemm", g.qdq("x", *X), w, g.bias(randn(g, 7), g.weight_scale(w) * np.float32(X[0])), transB=1): "float32"}


@network
def float_residual(g: QdqGraph) -> Built:
    return IMAGE, {g.node("Relu", g.node("Add", conv(g, g.qdq("x", *X), 4, 4), "x")): "float32"}


@network
def residual_without_quantize(g: QdqGraph) -> Built:
    x = g.qdq("x", *X)
    return IMAGE, ends(g, g.node("Relu", g.node("Add", conv(g, x, 4, 4), x)), 0.1, -100)


@network
def residual(g: QdqGraph) -> Built:
    x = g.qdq("x", *X)
    return IMAGE, ends(g, g.node("Relu", g.node("Add", g.qdq(conv(g, x, 4, 4), *A), x)), 0.1, -100)


@network
def matmul_of_rank_three_weights(g: QdqGraph) -> Built:
    return {"x": (2, 5, 6)}, ends(g, g.node("MatMul", g.qdq("x", *X), g.weight(randn(g, 1, 6, 7))))


@network
def matmul_of_batched_weights(g: QdqGraph) -> Built:
    return {"x": (2, 5, 6)}, ends(g, g.node("MatMul", g.qdq("x", *X), g.weight(randn(g, 2, 6, 7))))


@network
def matmul_with_float_bias(g: QdqGraph) -> Built:
    y = g.node("MatMul", g.qdq("x", *X), g.weight(randn(g, 6, 7), 1))
    return {"x": (2, 5, 6)}, ends(g, g.node("Add", y, g.constant(randn(g, 7))))


@network
def matmul_of_constant_left(g: QdqGraph) -> Built:
    return {"x": (6, 7)}, ends(g, g.node("MatMul", g.weight(randn(g, 5, 6)), g.qdq("x", *X)))


@network
def matmul_of_vector(g: QdqGraph) -> Built:
    return {"x": (5, 6)}, ends(g, g.node("MatMul", g.qdq("x", *X), g.weight(randn(g, 6))))


@network
def matmul_of_two_inputs(g: QdqGraph) -> Built:
    return {"x": (2, 5, 6), "z": (2, 6, 7)}, ends(g, g.node("MatMul", g.qdq("x", *X), g.qdq("z", 0.04, -3)))


@network
def matmul_of_weights_per_row(g: QdqGraph) -> Built:
    """Scales along the summed axis: no integer sum has one unit, so the product is float."""
    return {"x": (2, 6)}, ends(g, g.node("MatMul", g.qdq("x", *X), g.weight(randn(g, 6, 7), 0)))


@network
def attention(g: QdqGraph) -> Built:
    x = g.qdq("x", *X)
    q, k, v = (g.qdq(g.node("MatMul", x, g.weight(randn(g, 8, 8) / 2, 1)), 0.04, z) for z in (1, 2, 3))
    scores = g.qdq(g.node("MatMul", q, g.node("Transpose", k, perm=[0, 2, 1])), 0.1)
    return {"x": (2, 5, 8)}, ends(g, g.node("MatMul", g.qdq(g.node("Softmax", scores), *UNIT), v), 0.04, 2)


@network
def scaled_scores_without_quantize(g: QdqGraph) -> Built:
    x = g.qdq("x", *X)
    q, k, v = (g.qdq(g.node("MatMul", x, g.weight(randn(g, 8, 8) / 2, 1)), 0.04, z) for z in (1, 2, 3))
    scores = g.node("Mul", g.node("MatMul", q, g.node("Transpose", k, perm=[0, 2, 1])), g.constant(np.float32(0.35)))
    return {"x": (2, 5, 8)}, ends(g, g.node("MatMul", g.qdq(g.node("Softmax", scores), *UNIT), v), 0.04, 2)


@network
def layer_normalization(g: QdqGraph) -> Built:
    y = g.qdq(g.node("LayerNormalization", g.qdq("x", *X), g.constant(randn(g, 8)), g.constant(randn(g, 8))), 0.03)
    return {"x": (2, 5, 8)}, ends(g, g.node("MatMul", y, g.weight(randn(g, 8, 8), 1)))


@network
def intermediate_outputs(g: QdqGraph) -> Built:
    """Several outputs, among them tensors that other layers read."""
    a = g.qdq(conv(g, g.qdq("x", *X), 4, 4), *A)
    b = g.qdq(conv(g, a, 4, 4, scale=A[0]), *A)
    return IMAGE, {a: "float32", g.qdq(g.node("Add", a, b), 0.15): "float32", b: "float32"}


@network
def input_as_output(g: QdqGraph) -> Built:
    g.nodes.append(helper.make_node("Identity", ["x"], ["same"]))
    return IMAGE, {**ends(g, conv(g, g.qdq("x", *X), 4, 4)), "same": "float32"}


@network
def constant_output(g: QdqGraph) -> Built:
    return {"x": (2, 6)}, {**ends(g, g.node("Relu", g.qdq("x", *X)), *A), g.qdq(g.constant(randn(g, 3)), 0.1): "float32"}


@network
def output_twice(g: QdqGraph) -> Built:
    a = g.quantize(g.node("Relu", g.qdq("x", *X)), X[0], -128)
    g.nodes.append(helper.make_node("Identity", [a], ["again"]))
    return {"x": (2, 6)}, {a: g.dtype, "again": g.dtype}


@network
def input_twice(g: QdqGraph) -> Built:
    x = g.qdq("x", *X)
    outputs = [g.quantize(g.node("Add", x, x), 0.1), g.quantize(g.node("Mul", x, x), 0.1, -10), g.quantize(g.node("Concat", x, x, axis=1), *X)]
    return IMAGE, dict.fromkeys(outputs, g.dtype)


@network
def batch_of_three(g: QdqGraph) -> Built:
    a = g.qdq(conv(g, g.qdq("x", *X), 4, 4, strides=[2, 2]), *A)
    flat = g.node("Flatten", g.qdq(g.node("GlobalAveragePool", a), 0.05))
    return {"x": (3, 4, 9, 7)}, ends(g, g.node("Gemm", flat, g.weight(randn(g, 3, 4), 0), transB=1), 0.05)


@network
def signal(g: QdqGraph) -> Built:
    """1-D convolution, pooling and mean."""
    w = g.weight(randn(g, 6, 4, 3) / 2, 0)
    a = g.qdq(g.node("Relu", g.node("Conv", g.qdq("x", *X), w, pads=[1, 1])), 0.1, -128)
    p = g.qdq(g.node("MaxPool", a, kernel_shape=[2], strides=[2]), 0.1, -128)
    b = g.qdq(g.node("Conv", p, g.weight(randn(g, 5, 6, 3) / 2, 0), pads=[1, 1]), 0.1)
    return {"x": (1, 4, 16)}, ends(g, g.node("GlobalAveragePool", b), 0.05, -10)


@network
def flatten_to_gemm(g: QdqGraph) -> Built:
    """Channels-first order of the flattened image."""
    flat = g.node("Flatten", g.qdq(conv(g, g.qdq("x", *X), 4, 4), *A))
    return IMAGE, ends(g, g.node("Gemm", flat, g.weight(randn(g, 3, 256) / 8, 0), transB=1))


@network
def padded_convolution(g: QdqGraph) -> Built:
    p = g.node("Pad", g.qdq(conv(g, g.qdq("x", *X), 4, 4), *A), g.constant(np.array([0, 0, 1, 2, 0, 0, 2, 1])))
    return IMAGE, ends(g, conv(g, p, 4, 4, scale=A[0], pads=[0] * 4))


@network
def channel_shuffle(g: QdqGraph) -> Built:
    a = g.qdq(conv(g, g.qdq("x", *X), 8, 4), *A)
    g.nodes.append(helper.make_node("Split", [a], ["left", "right"], axis=1))
    c = g.qdq(g.node("Concat", g.qdq(conv(g, "left", 4, 4, scale=A[0]), *A), "right", axis=1), *A)
    pairs = g.node("Transpose", g.node("Reshape", c, g.constant(np.array([1, 2, 4, 8, 8]))), perm=[0, 2, 1, 3, 4])
    return IMAGE, ends(g, conv(g, g.node("Reshape", pairs, g.constant(np.array([1, 8, 8, 8]))), 4, 8, scale=A[0]))


@network
def squeeze_and_excite(g: QdqGraph) -> Built:
    a = g.qdq(conv(g, g.qdq("x", *X), 8, 4), *A)
    squeezed = g.qdq(g.node("Relu", conv(g, g.qdq(g.node("GlobalAveragePool", a), 0.05), 2, 8, 1)), 0.05, -128)
    gate = g.qdq(g.node("Sigmoid", g.qdq(conv(g, squeezed, 8, 2, 1), 0.05)), *UNIT)
    return IMAGE, ends(g, g.node("Mul", a, gate))


@network
def upsampled(g: QdqGraph) -> Built:
    a = g.qdq(conv(g, g.qdq("x", *X), 8, 4), *A)
    return IMAGE, ends(g, g.node("Resize", a, "", g.constant(np.array([1, 1, 2, 2], np.float32)), mode="linear"), *A)


@network
def mean_without_dimensions(g: QdqGraph) -> Built:
    return IMAGE, ends(g, g.node("ReduceMean", g.qdq(conv(g, g.qdq("x", *X), 8, 4), *A), axes=[2, 3], keepdims=0), 0.05, 1)


@network
def float_weights(g: QdqGraph) -> Built:
    return IMAGE, ends(g, g.node("Conv", g.qdq("x", *X), g.constant(randn(g, 4, 4, 3, 3)), pads=[1] * 4))


@network
def weights_per_input_channel(g: QdqGraph) -> Built:
    return IMAGE, ends(g, g.node("Conv", g.qdq("x", *X), g.weight(randn(g, 4, 4, 3, 3), 1), pads=[1] * 4))


@network
def float_scale_and_shift(g: QdqGraph) -> Built:
    y = g.node("Add", g.node("Mul", g.qdq("x", *X), g.constant(randn(g, 4, 1, 1))), g.constant(randn(g, 4, 1, 1)))
    return IMAGE, ends(g, y)


@network
def transposed_convolution(g: QdqGraph) -> Built:
    return IMAGE, ends(g, g.node("ConvTranspose", g.qdq("x", *X), g.weight(randn(g, 4, 3, 2, 2)), strides=[2, 2]))


@network
def batch_normalization_by_quantized_parameters(g: QdqGraph) -> Built:
    parameters = [g.weight(np.abs(randn(g, 4)) + 0.5) for _ in range(4)]
    return IMAGE, ends(g, g.node("Relu", g.qdq(g.node("BatchNormalization", g.qdq("x", *X), *parameters), *A)))


@network
def comparisons(g: QdqGraph) -> Built:
    x, zero = g.qdq("x", *X), g.constant(np.float32(0))
    positive = g.node("Cast", g.node("Greater", x, zero), to=1)
    chosen = g.node("Where", g.node("Greater", x, zero), x, g.constant(randn(g, 6)))
    return {"x": (2, 6)}, {**ends(g, g.node("Mul", x, positive)), **ends(g, chosen)}


@network
def einsum(g: QdqGraph) -> Built:
    return {"x": (5, 4)}, {g.node("Einsum", g.qdq("x", *X), g.constant(randn(g, 4, 3)), equation="ij,jk->ik"): "float32"}
