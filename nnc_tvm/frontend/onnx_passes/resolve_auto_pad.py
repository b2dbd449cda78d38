"""auto_pad becomes explicit pads."""

from __future__ import annotations

import math

import onnx
from onnx import helper

from nnc_tvm.errors import Unsupported
from nnc_tvm.frontend.onnx_names import label
from nnc_tvm.frontend.onnx_passes.graph import attributes, static_shapes

WINDOWED = frozenset({"Conv", "ConvInteger", "MaxPool", "AveragePool", "LpPool"})


def resolve_auto_pad(model: onnx.ModelProto) -> None:
    """SAME_UPPER and SAME_LOWER: ceil(input / stride) outputs, an odd element of padding at the end or the beginning (ONNX, Conv)."""
    shapes = static_shapes(model)
    for node in model.graph.node:
        values = attributes(node)
        mode = values.get("auto_pad", "NOTSET")
        if node.op_type not in WINDOWED or mode == "NOTSET":
            continue
        shape = shapes.get(node.input[0])
        kernel = values.get("kernel_shape") or list(shapes.get(node.input[1], ()))[2:]
        if shape is None or not kernel:
            raise Unsupported(f"{label(node)}: auto_pad {mode} needs the shape of '{node.input[0]}', which is unknown; export the model with fixed sizes")
        rank = len(shape) - 2
        strides, dilations = values.get("strides", [1] * rank), values.get("dilations", [1] * rank)
        before, after = [], []
        for extent, k, s, d in zip(shape[2:], kernel, strides, dilations, strict=True):
            total = max((math.ceil(extent / s) - 1) * s + (k - 1) * d + 1 - extent, 0) if mode.startswith("SAME") else 0
            small, large = total // 2, total - total // 2
            before.append(large if mode == "SAME_LOWER" else small)
            after.append(small if mode == "SAME_LOWER" else large)
        kept = [a for a in node.attribute if a.name not in ("auto_pad", "pads")]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute("pads", before + after)])
