"""The layers of the grid, the patterns of zeros, and an ONNX model of all layers side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Prune = Callable[[np.ndarray], np.ndarray]  # of int8 (O, C, KH, KW)

BLOCKS = {"4 inputs x 16 outputs": (4, 16), "4 inputs x 1 output": (4, 1), "1 input x 4 outputs": (1, 4), "scattered": (1, 1)}
N_OF_M = {50: 2, 75: 1}  # percent of zeros: of every four
IMAGES = ((56, 64), (28, 128), (14, 256), (7, 512))  # pixels of a side, channels


@dataclass(frozen=True)
class Layer:
    """A convolution of square images and kernels; a dense layer of one row where kernel is 0."""

    size: int
    inputs: int
    outputs: int
    kernel: int
    stride: int = 1

    @property
    def name(self) -> str:
        if not self.kernel:
            return f"dense, {self.inputs} to {self.outputs}"
        strided = f", stride {self.stride}" if self.stride > 1 else ""
        return f"{self.kernel}x{self.kernel}{strided}, {self.size}x{self.size}x{self.inputs} to {self.outputs}"

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """(O, C, KH, KW)"""
        return self.outputs, self.inputs, max(self.kernel, 1), max(self.kernel, 1)


LAYERS = (
    *(Layer(size, channels, channels, 3) for size, channels in IMAGES), Layer(28, 128, 256, 3, 2),
    *(Layer(size, channels, channels, 1) for size, channels in IMAGES), Layer(28, 192, 64, 1),
    *(Layer(1, channels, channels, 0) for _, channels in IMAGES), Layer(1, 1024, 1000, 0),
)


def pruned(weight: np.ndarray, zeros: int, block: tuple[int, int]) -> np.ndarray:
    """int8 (O, C, KH, KW) with `zeros` percent of its blocks of (inputs, outputs) zero, those of the least sum; what fills no block stays."""
    inputs, outputs = block
    o, c, kh, kw = weight.shape
    whole = weight[: o // outputs * outputs]
    score = np.abs(whole.astype(np.int64)).reshape(-1, outputs, c // inputs, inputs, kh, kw).sum((1, 3))
    keep = score.reshape(-1).argsort(kind="stable").argsort() >= round(score.size * zeros / 100)
    return np.concatenate([whole * keep.reshape(score.shape).repeat(outputs, 0).repeat(inputs, 1), weight[len(whole) :]])


def n_of_four(weight: np.ndarray, n: int) -> np.ndarray:
    """int8 (O, C, KH, KW) with the n largest of every four inputs left."""
    fours = np.moveaxis(np.abs(weight.astype(np.int64)), 1, -1).reshape(*weight.shape[:1], *weight.shape[2:], -1, 4)
    keep = (-fours).argsort(-1, kind="stable").argsort(-1) < n
    return weight * np.moveaxis(keep.reshape(*weight.shape[:1], *weight.shape[2:], -1), -1, 1)


def prunings(percents: Sequence[int]) -> dict[str, dict[int, Prune]]:
    """pattern -> percent of zeros -> what makes them."""
    blocks = {pattern: {z: (lambda w, z=z, b=block: pruned(w, z, b)) for z in percents} for pattern, block in BLOCKS.items()}
    return {**blocks, "N of 4": {z: (lambda w, n=n: n_of_four(w, n)) for z, n in N_OF_M.items()}}


def network(prune: Prune) -> onnx.ModelProto:
    """A QDQ model of LAYERS, each with an image of its own; layer k's result is the tensor `result_name(k)`."""
    nodes, constants, inputs, outputs = [], [], [], []

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(value, name))
        return name

    rng = np.random.default_rng(1)
    scale, zero = constant("scale", np.float32(0.05)), constant("zero", np.uint8(128))
    for k, layer in enumerate(LAYERS):
        weight = prune(np.clip(np.rint(rng.standard_normal(layer.weight_shape) * 40), -127, 127).astype(np.int8))
        size, padding = -(-layer.size // layer.stride), layer.kernel // 2
        shapes = ((1, layer.inputs), (1, layer.outputs)) if not layer.kernel else (
            (1, layer.inputs, layer.size, layer.size), (1, layer.outputs, size, size))
        inputs.append(helper.make_tensor_value_info(f"x{k}", TensorProto.FLOAT, shapes[0]))
        outputs.append(helper.make_tensor_value_info(f"y{k}", TensorProto.FLOAT, shapes[1]))
        stored = weight if layer.kernel else np.ascontiguousarray(weight[:, :, 0, 0].T)
        attributes = {"pads": [padding] * 4, "strides": [layer.stride] * 2} if layer.kernel else {}
        nodes += [
            helper.make_node("QuantizeLinear", [f"x{k}", scale, zero], [f"xq{k}"]), helper.make_node("DequantizeLinear", [f"xq{k}", scale, zero], [f"xd{k}"]),
            helper.make_node("DequantizeLinear", [constant(f"w{k}", stored), constant(f"s{k}", np.float32(0.01)), constant(f"z{k}", np.int8(0))], [f"wd{k}"]),
            helper.make_node("Conv" if layer.kernel else "MatMul", [f"xd{k}", f"wd{k}"], [f"c{k}"], **attributes),
            helper.make_node("QuantizeLinear", [f"c{k}", constant(f"o{k}", np.float32(weight[0].size**0.5 * 0.05)), zero], [result_name(k)]),
            helper.make_node("DequantizeLinear", [result_name(k), f"o{k}", zero], [f"y{k}"]),
        ]
    graph = helper.make_graph(nodes, "layers", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def result_name(k: int) -> str:
    return f"yq{k}"
