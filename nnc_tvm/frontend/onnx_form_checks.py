"""Forms of ONNX operators that would be read as other forms: refused by name rather than computed wrongly. One check per operator."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from nnc_tvm.errors import Unsupported
from nnc_tvm.frontend.onnx_names import label
from nnc_tvm.frontend.onnx_passes.graph import attributes, initializers, static_shapes


def bit_shift(node: onnx.NodeProto, model: onnx.ModelProto) -> None:
    """Signed operands may be shifted by negative counts and beyond their width, which machines do each in their own way."""
    values = (*model.graph.input, *model.graph.value_info)
    if any(v.name == node.input[0] and v.type.tensor_type.elem_type != TensorProto.UINT8 for v in values):
        raise Unsupported("shifts of signed integers; use uint8, or multiply by a power of two")


def resize(node: onnx.NodeProto, model: onnx.ModelProto) -> None:
    """Sizes decide where pixels are read; scales that do not lead to whole sizes, and antialiasing, would read elsewhere."""
    values, shapes, constants = attributes(node), static_shapes(model), initializers(model.graph)
    if values.get("antialias", 0):
        raise Unsupported("antialias is 1; export the model without it")
    mode = values.get("coordinate_transformation_mode", "half_pixel")
    if mode == "half_pixel_symmetric":
        raise Unsupported(f"the coordinate_transformation_mode {mode}; export the model with half_pixel")
    x, y = shapes.get(node.input[0]), shapes.get(node.output[0])
    if x is None or y is None:
        return
    if mode == "align_corners" and any(after == 1 < before for before, after in zip(x, y, strict=True)):
        raise Unsupported(f"align_corners from {list(x)} to {list(y)}: one pixel has no corners; export the model with half_pixel")
    scales = numpy_helper.to_array(constants[node.input[2]]) if len(node.input) > 2 and node.input[2] in constants else np.zeros(0)
    axes = values.get("axes", range(len(x)))
    for axis, scale in zip(axes, scales, strict=False):
        if not math.isclose(x[axis] * float(scale), y[axis], rel_tol=1e-5):
            raise Unsupported(f"the scale {scale:g} makes {x[axis] * float(scale):g} elements of {x[axis]}; export the model with sizes in place of scales")


def roi_align(node: onnx.NodeProto, model: onnx.ModelProto) -> None:
    """The mean of the samples is known, their maximum is not."""
    if attributes(node).get("mode", "avg") != "avg":
        raise Unsupported("mode max; export the model with mode avg")


def space_to_depth(node: onnx.NodeProto, model: onnx.ModelProto) -> None:
    """Blocks come before channels."""
    if attributes(node).get("mode", "DCR") != "DCR":
        raise Unsupported("mode CRD; export the model with mode DCR")


def conv_transpose(node: onnx.NodeProto, model: onnx.ModelProto) -> None:
    """Pads decide the size."""
    if "output_shape" in attributes(node):
        raise Unsupported("output_shape decides the padding; export the model with pads and output_padding")


FORMS: dict[str, Callable[[onnx.NodeProto, onnx.ModelProto], None]] = {
    "BitShift": bit_shift, "ConvTranspose": conv_transpose, "Resize": resize, "RoiAlign": roi_align, "SpaceToDepth": space_to_depth,
}


def check_forms(model: onnx.ModelProto) -> None:
    """Raises Unsupported naming the first node in such a form."""
    for node in model.graph.node:
        check = FORMS.get(node.op_type)
        if check is None:
            continue
        try:
            check(node, model)
        except Unsupported as error:
            raise Unsupported(f"{label(node)}: {error}") from error
