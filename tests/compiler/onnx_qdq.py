"""Wraps a float ONNX model's operators in QuantizeLinear and DequantizeLinear, as quantizers do, so that tests have QDQ models of anything."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper

from tests.frontend.onnx_builder import model_of

LOW = {"int8": -128, "uint8": 0}


@dataclass
class QdqGraph:
    """Collects nodes and constants; every method returns the name of the tensor it makes.

    dtype: of activations, "int8" or "uint8". weights: of weights.
    """

    dtype: str = "int8"
    weights: str = "int8"
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def name(self, stem: str) -> str:
        return f"{stem}_{len(self.nodes) + len(self.constants)}"

    def constant(self, value: np.ndarray, stem: str = "c") -> str:
        name = self.name(stem)
        self.constants[name] = np.asarray(value)
        return name

    def node(self, op: str, *inputs: str, **attributes: object) -> str:
        output = self.name(op.lower())
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=f"{op}_{len(self.nodes)}", **attributes))
        return output

    def parameters(self, scale: float, zero: int) -> list[str]:
        """Names of the scale and the zero point; `zero` is that of int8 and moves with uint8."""
        return [self.constant(np.float32(scale), "s"), self.constant(np.array(zero + LOW[self.dtype] + 128, self.dtype), "z")]

    def quantize(self, x: str, scale: float, zero: int = 0) -> str:
        """The integers of the real tensor x."""
        return self.node("QuantizeLinear", x, *self.parameters(scale, zero))

    def qdq(self, x: str, scale: float, zero: int = 0) -> str:
        """x on the grid of a quantization, real."""
        pair = self.parameters(scale, zero)
        return self.node("DequantizeLinear", self.node("QuantizeLinear", x, *pair), *pair)

    def weight(self, value: np.ndarray, axis: int | None = None) -> str:
        """Real weights as integers behind a dequantize, per channel along `axis` if given."""
        others = tuple(i for i in range(value.ndim) if i != axis) if axis is not None else None
        scale = np.asarray(np.abs(value).max(others) / 127, np.float32)
        shape = [1] * value.ndim
        if axis is not None:
            shape[axis] = -1
        integers = np.clip(np.rint(value / scale.reshape(shape) if axis is not None else value / scale), -127, 127) + LOW[self.weights] + 128
        zero = np.full(scale.shape, LOW[self.weights] + 128, self.weights)
        names = [self.constant(integers.astype(self.weights), "w"), self.constant(scale, "ws"), self.constant(zero, "wz")]
        return self.node("DequantizeLinear", *names, **({"axis": axis} if axis is not None else {}))

    def bias(self, value: np.ndarray, scale: np.ndarray | float) -> str:
        """int32 behind a dequantize by `scale` = input scale * weight scale."""
        unit = np.asarray(scale, np.float32)
        integers = np.rint(value / unit).astype(np.int32)
        return self.node("DequantizeLinear", self.constant(integers, "b"), self.constant(unit, "bs"), **({"axis": 0} if unit.ndim else {}))

    def weight_scale(self, weight: str) -> np.ndarray:
        """The scale of a tensor that `weight` made."""
        node = next(n for n in self.nodes if n.output[0] == weight)
        return self.constants[node.input[1]]

    def model(self, inputs: dict[str, tuple[int, ...]], outputs: dict[str, str], opset: int = 17) -> onnx.ModelProto:
        """The model; outputs: the public name of each tensor and its dtype."""
        made = model_of(self.nodes, inputs, [], self.constants, opset)
        made.graph.output.extend(helper.make_tensor_value_info(n, {"float32": 1, "uint8": 2, "int8": 3}[d], None) for n, d in outputs.items())
        return made
