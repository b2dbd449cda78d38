"""Which numbers of an ONNX model must be finite. One check per function; its docstring is the reason."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from nnc_tvm.errors import InvalidModel
from nnc_tvm.frontend.onnx_names import constant_tensors, label, shortened
from nnc_tvm.frontend.onnx_passes.graph import attributes

MAY_BE_INFINITE = frozenset({"Clip", "Constant", "ConstantOfShape", "Pad"})
WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization",
                      "PRelu", "LSTM", "GRU", "RNN"})
ARITHMETIC = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Clip"})  # masks may be infinite there
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE)


def float_constants(model: onnx.ModelProto) -> Iterator[tuple[onnx.NodeProto, str, np.ndarray]]:
    """(node, name, values) of every constant of floats that a node reads."""
    constants = {name: t for name, t in constant_tensors(model).items() if t.data_type in FLOATS}
    for node in model.graph.node:
        yield from ((node, name, numpy_helper.to_array(constants[name])) for name in node.input if name in constants)


def finite_weights(model: onnx.ModelProto) -> None:
    """NaN or infinite weights make every output NaN, and so does a NaN in arithmetic."""
    for node, name, values in float_constants(model):
        if node.op_type in WEIGHTED and not np.isfinite(values).all():
            raise InvalidModel(f"{label(node)}: the weights '{shortened(name)}' hold NaN or infinite values: the training diverged or the file is damaged")
        if node.op_type in ARITHMETIC and np.isnan(values).any():
            raise InvalidModel(f"{label(node)}: the constant '{shortened(name)}' holds NaN: the training diverged or the file is damaged")


def positive_variances(model: onnx.ModelProto) -> None:
    """Batch normalization divides by the root of the variance and epsilon."""
    for node, name, values in float_constants(model):
        if node.op_type == "BatchNormalization" and len(node.input) > 4 and name == node.input[4]:
            epsilon = attributes(node).get("epsilon", 1e-5)
            if values.size and values.min() + epsilon <= 0:
                raise InvalidModel(f"{label(node)}: the variance '{shortened(name)}' is {values.min():g} with epsilon {epsilon:g}; "
                                   "their sum must be positive, export the model again")


def finite_attributes(model: onnx.ModelProto) -> None:
    """Slopes, epsilons and factors are finite numbers; bounds and constants may be infinite."""
    for node in model.graph.node:
        for attribute in node.attribute:
            bad = next((v for v in (attribute.f, *attribute.floats) if not np.isfinite(v)), None)
            if bad is not None and node.op_type not in MAY_BE_INFINITE:
                raise InvalidModel(f"{label(node)}: the attribute '{attribute.name}' is {bad:g}; it must be finite, export the model again")
