"""ONNX Runtime's QLinear operators of one or two activations become float operators between DequantizeLinear and QuantizeLinear.

Source: ONNX Runtime, docs/ContribOperators.md (com.microsoft).
"""

from __future__ import annotations

import functools

import onnx

from nnc_tvm.errors import Unsupported
from nnc_tvm.frontend.onnx_passes.graph import attributes
from nnc_tvm.frontend.onnx_passes.rewrite import MICROSOFT, Replacement, rewrite

UNARY = {"QLinearSigmoid": "Sigmoid", "QLinearLeakyRelu": "LeakyRelu", "QLinearAveragePool": "AveragePool",
         "QLinearGlobalAveragePool": "GlobalAveragePool", "QLinearReduceMean": "ReduceMean"}
BINARY = {"QLinearAdd": "Add", "QLinearMul": "Mul"}


def qlinear_functions(model: onnx.ModelProto) -> None:
    for name, op in UNARY.items():
        rewrite(model, MICROSOFT, name, functools.partial(_unary, op))
    for name, op in BINARY.items():
        rewrite(model, MICROSOFT, name, functools.partial(_binary, op))
    rewrite(model, MICROSOFT, "QLinearSoftmax", _softmax)
    rewrite(model, MICROSOFT, "QLinearConcat", _concat)


def _unary(op: str, r: Replacement) -> None:
    """Inputs: x, x scale, x zero point (optional), y scale, y zero point (optional)."""
    values = attributes(r.node)
    if values.get("channels_last", 0):
        raise Unsupported("channels_last is 1; export the model with channels first")
    real = r.emit(op, r.real(0))
    r.nodes[-1].attribute.extend(a for a in r.node.attribute if a.name != "channels_last")
    r.quantize(real, 3)


def _softmax(r: Replacement) -> None:
    """Inputs as those of a unary function. Before opset 13 a softmax goes over `axis` and all axes behind it."""
    values = attributes(r.node)
    axis = values.get("axis", -1)
    real = r.real(0)
    if values.get("opset", 13) >= 13:
        return r.quantize(r.emit("Softmax", real, axis=axis), 3)
    rows = r.emit("Softmax", r.emit("Flatten", real, axis=axis), axis=-1)
    return r.quantize(r.emit("Reshape", rows, r.emit("Shape", r.input(0))), 3)


def _binary(op: str, r: Replacement) -> None:
    """Inputs: a, scale, zero point, b, scale, zero point, y scale, y zero point; zero points are optional."""
    r.quantize(r.emit(op, r.real(0), r.real(3)), 6)


def _concat(r: Replacement) -> None:
    """Inputs: y scale, y zero point, then tensor, scale and zero point of each part."""
    parts = [r.real(i) for i in range(2, len(r.node.input), 3)]
    r.quantize(r.emit("Concat", *parts, axis=attributes(r.node)["axis"]), 0)
