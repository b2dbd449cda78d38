"""What the shapes of an ONNX model must satisfy, once they are inferred. One check per function; its docstring is the reason."""

from __future__ import annotations

import math
from collections.abc import Callable

import onnx

from nnc_tvm.errors import InvalidModel
from nnc_tvm.frontend.onnx_names import label
from nnc_tvm.frontend.onnx_number_checks import finite_weights
from nnc_tvm.frontend.onnx_official import described_inputs
from nnc_tvm.frontend.onnx_passes.graph import attributes, infer_shapes, static_shapes
from nnc_tvm.frontend.shapes import MAX_ELEMENTS, check_shape

WINDOWED = frozenset({"AveragePool", "Conv", "ConvInteger", "ConvTranspose", "LpPool", "MaxPool"})


def inferred_dimensions(model: onnx.ModelProto) -> None:
    """Intermediate tensors have positive extents and fewer than 2^31 elements too."""
    infer_shapes(model)
    constants = {t.name for t in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    for name, shape in static_shapes(model).items():
        if name in constants:
            continue
        try:
            check_shape(name, shape)
        except InvalidModel as error:
            where = f"{label(makers[name])} reads {described_inputs(makers[name], static_shapes(model))}: " if name in makers else ""
            raise InvalidModel(f"{where}{error}") from error


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


def transposed_shapes(model: onnx.ModelProto) -> None:
    """A transposed convolution's weights have the input's channels, and its output_padding is less than a stride or a dilation."""
    shapes = static_shapes(model)
    for node in model.graph.node:
        if node.op_type != "ConvTranspose" or node.input[0] not in shapes or node.input[1] not in shapes:
            continue
        x, w, values = shapes[node.input[0]], shapes[node.input[1]], attributes(node)
        group = values.get("group", 1)
        if len(x) != len(w) or x[1] != w[0] or group < 1 or w[0] % group:
            raise InvalidModel(f"{label(node)}: the weights '{node.input[1]}' {list(w)} in {group} group(s) do not fit the input '{node.input[0]}' {list(x)}; "
                               f"they need its {x[1]} channels first")
        ones = [1] * (len(x) - 2)
        strides, dilations, extra = (list(values.get(name, ones)) for name in ("strides", "dilations", "output_padding"))
        if "output_padding" in values and any(e >= max(s, d) for e, s, d in zip(extra, strides, dilations, strict=False)):
            raise InvalidModel(f"{label(node)}: output_padding {extra} with strides {strides}; it must be less than a stride")


def bias_shapes(model: onnx.ModelProto) -> None:
    """A bias has a value for every output channel; Gemm's C may be broadcast to the product."""
    shapes = static_shapes(model)
    for node in model.graph.node:
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm") or len(node.input) < 3 or any(n not in shapes for n in node.input):
            continue
        bias, y, values = shapes[node.input[2]], shapes.get(node.output[0]), attributes(node)
        weight = shapes[node.input[1]]
        channels = weight[0] if node.op_type == "Conv" else weight[1] * values.get("group", 1)
        if node.op_type == "Gemm" and y is not None and not fits(bias, y):
            raise InvalidModel(f"{label(node)}: C '{node.input[2]}' {list(bias)} cannot be broadcast to the product {list(y)}; give one value per column")
        if node.op_type != "Gemm" and bias != (channels,):
            raise InvalidModel(f"{label(node)}: the bias '{node.input[2]}' has the shape {list(bias)}; {channels} output channels need [{channels}]")


def fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether `shape` can be broadcast to `wanted`."""
    return len(shape) <= len(wanted) and all(a in (1, b) for a, b in zip(reversed(shape), reversed(wanted), strict=False))


def positive_windows(model: onnx.ModelProto) -> None:
    """Windows have at least one element and move forwards, and padding adds elements."""
    for node in model.graph.node:
        if node.op_type not in WINDOWED:
            continue
        for name, lowest in (("kernel_shape", 1), ("strides", 1), ("dilations", 1), ("pads", 0)):
            values = attributes(node).get(name, [])
            if any(not lowest <= v < MAX_ELEMENTS for v in values):
                raise InvalidModel(f"{label(node)}: {name} {list(values)}; each must be at least {lowest} and fit 31 bits")


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
        if len(scale) > 1 and not attributes(node).get("block_size", 0):
            raise InvalidModel(f"{label(node)}: the scale '{node.input[1]}' has the shape {list(scale)} without a block_size; give one per channel, or one")
        if len(scale) == 1 and scale[0] != 1 and not (-len(x) <= axis < len(x) and x[axis] == scale[0]):
            raise InvalidModel(f"{label(node)}: {scale[0]} scales for the axis {axis} of '{node.input[0]}' with shape {list(x)}; give one per channel, or one")
        if len(node.input) > 2 and node.input[2] and shapes[node.input[2]] != scale and (scale, shapes[node.input[2]]) not in (((), (1,)), ((1,), ())):
            raise InvalidModel(f"{label(node)}: the zero point has the shape {list(shapes[node.input[2]])}, the scale {list(scale)}; they must be alike")


def integer_product_shapes(model: onnx.ModelProto) -> None:
    """The right side of an integer product has one zero point, or one per output channel."""
    shapes = static_shapes(model)
    for node in model.graph.node:
        if node.op_type not in ("MatMulInteger", "ConvInteger") or len(node.input) < 4 or any(n not in shapes for n in (node.input[1], node.input[3])):
            continue
        weight, zero = shapes[node.input[1]], shapes[node.input[3]]
        channels = weight[0 if node.op_type == "ConvInteger" else -1]
        if math.prod(zero) not in (1, channels):
            raise InvalidModel(f"{label(node)}: the zero point '{node.input[3]}' {list(zero)} for weights '{node.input[1]}' {list(weight)}; "
                               f"give one, or one for each of {channels} channels")


SHAPE_CHECKS: tuple[Callable[[onnx.ModelProto], None], ...] = (
    finite_weights, inferred_dimensions, positive_windows, convolution_shapes, transposed_shapes, bias_shapes, pooling_windows, quantization_shapes,
    integer_product_shapes,
)
