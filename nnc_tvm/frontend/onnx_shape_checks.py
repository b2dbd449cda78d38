"""What the shapes of an ONNX model must satisfy, once they are inferred. One check per function; its docstring is the reason."""

from __future__ import annotations

from collections.abc import Callable

import onnx

from nnc_tvm.errors import InvalidModel
from nnc_tvm.frontend.onnx_checks import finite_weights
from nnc_tvm.frontend.onnx_names import label
from nnc_tvm.frontend.onnx_passes.graph import attributes, infer_shapes, static_shapes
from nnc_tvm.frontend.shapes import check_shape

WINDOWED = frozenset({"AveragePool", "Conv", "ConvInteger", "ConvTranspose", "LpPool", "MaxPool"})


def inferred_dimensions(model: onnx.ModelProto) -> None:
    """Intermediate tensors have positive extents and fewer than 2^31 elements too."""
    infer_shapes(model)
    for name, shape in static_shapes(model).items():
        if not any(t.name == name for t in model.graph.initializer):
            check_shape(name, shape)


def convolution_shapes(model: onnx.ModelProto) -> None:
    """A convolution's weights, its kernel_shape and its input must agree."""
    shapes = static_shapes(model)
    for node in model.graph.node:
        if node.op_type != "Conv" or node.input[0] not in shapes or node.input[1] not in shapes:
            continue
        x, w, values = shapes[node.input[0]], shapes[node.input[1]], attributes(node)
        group = values.get("group", 1)
        if len(x) != len(w):
            raise InvalidModel(f"{label(node)}: the input '{node.input[0]}' {list(x)} and the weights '{node.input[1]}' {list(w)} differ in rank")
        if "kernel_shape" in values and list(values["kernel_shape"]) != list(w[2:]):
            raise InvalidModel(f"{label(node)}: kernel_shape {list(values['kernel_shape'])} contradicts the weights '{node.input[1]}' of shape {list(w)}")
        if x[1] != w[1] * group or w[0] % group:
            raise InvalidModel(f"{label(node)}: the input has {x[1]} channels, the weights '{node.input[1]}' {list(w)} in {group} group(s) need {w[1] * group}")


def positive_windows(model: onnx.ModelProto) -> None:
    """Windows have at least one element and move forwards, and padding adds elements."""
    for node in model.graph.node:
        if node.op_type not in WINDOWED:
            continue
        for name, lowest in (("kernel_shape", 1), ("strides", 1), ("dilations", 1), ("pads", 0)):
            values = attributes(node).get(name, [])
            if any(v < lowest for v in values):
                raise InvalidModel(f"{label(node)}: {name} {list(values)}; each must be at least {lowest}")


def pooling_windows(model: onnx.ModelProto) -> None:
    """Every window of a pooling meets the image: one that lies in the padding alone has no mean and no largest element."""
    for node in model.graph.node:
        if node.op_type not in ("AveragePool", "MaxPool", "LpPool"):
            continue
        values = attributes(node)
        kernel, pads = list(values.get("kernel_shape", [])), list(values.get("pads", []))
        dilations = list(values.get("dilations", [1] * len(kernel)))
        if any(p >= (k - 1) * d + 1 for p, k, d in zip(pads, [*kernel, *kernel], [*dilations, *dilations], strict=False)):
            raise InvalidModel(f"{label(node)}: the pads {pads} are as wide as its window {kernel}; pad by less")


def quantization_shapes(model: onnx.ModelProto) -> None:
    """A scale is one value, or one per channel of the quantized axis; the zero point has its shape."""
    shapes = static_shapes(model)
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear") or any(n and n not in shapes for n in node.input):
            continue
        x, scale = shapes[node.input[0]], shapes[node.input[1]]
        axis = attributes(node).get("axis", 1)
        if len(scale) == 1 and scale[0] != 1 and not (-len(x) <= axis < len(x) and x[axis] == scale[0]):
            raise InvalidModel(f"{label(node)}: {scale[0]} scales for the axis {axis} of '{node.input[0]}' with shape {list(x)}; give one per channel, or one")
        if len(node.input) > 2 and node.input[2] and shapes[node.input[2]] != scale and (scale, shapes[node.input[2]]) not in (((), (1,)), ((1,), ())):
            raise InvalidModel(f"{label(node)}: the zero point has the shape {list(shapes[node.input[2]])}, the scale {list(scale)}; they must be alike")


SHAPE_CHECKS: tuple[Callable[[onnx.ModelProto], None], ...] = (
    finite_weights, inferred_dimensions, positive_windows, convolution_shapes, pooling_windows, quantization_shapes,
)
