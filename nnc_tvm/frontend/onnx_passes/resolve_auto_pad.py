"""auto_pad, and the output_shape of a transposed convolution, become explicit pads."""

from __future__ import annotations

import math
from typing import Any

import onnx
from onnx import helper

from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.frontend.onnx_names import label
from nnc_tvm.frontend.onnx_passes.graph import attributes, static_shapes

MODES = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
WINDOWED = frozenset({"Conv", "ConvInteger", "MaxPool", "AveragePool", "LpPool"})


def resolve_auto_pad(model: onnx.ModelProto) -> None:
    """SAME_UPPER and SAME_LOWER: ceil(input / stride) outputs, an odd element of padding at the end or the beginning (ONNX, Conv)."""
    shapes = static_shapes(model)
    for node in model.graph.node:
        values = attributes(node)
        if node.op_type in (*WINDOWED, "ConvTranspose") and values.get("auto_pad", "NOTSET") not in MODES:
            raise InvalidModel(f"{label(node)}: auto_pad {values['auto_pad']!r}; it may be {', '.join(MODES)}")
        if node.op_type == "ConvTranspose":
            resolve_output_shape(node, values, shapes)
            continue
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


def resolve_output_shape(node: onnx.NodeProto, values: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> None:
    """output_shape, or auto_pad, which makes outputs of stride * input: what is too much is padding, what is too little output_padding."""
    mode = values.get("auto_pad", "NOTSET")
    if "output_shape" not in values and mode == "NOTSET":
        return
    x, weight = shapes.get(node.input[0]), shapes.get(node.input[1])
    if x is None or weight is None:
        raise Unsupported(f"{label(node)}: its padding needs the shape of '{node.input[0]}', which is unknown; export the model with fixed sizes")
    rank = len(x) - 2
    kernel, strides = values.get("kernel_shape", list(weight[2:])), values.get("strides", [1] * rank)
    dilations, extra = values.get("dilations", [1] * rank), values.get("output_padding", [0] * rank)
    full = [s * (n - 1) + (k - 1) * d + 1 for n, k, s, d in zip(x[2:], kernel, strides, dilations, strict=True)]
    same = [n * s for n, s in zip(x[2:], strides, strict=True)] if mode.startswith("SAME") else [f + e for f, e in zip(full, extra, strict=True)]
    wanted = [int(v) for v in values.get("output_shape", same)][-rank:]
    totals = [f + e - w for f, e, w in zip(full, extra, wanted, strict=True)]
    extra = [e + max(-t, 0) for e, t in zip(extra, totals, strict=True)]
    before = [max(t, 0) // 2 if mode == "SAME_UPPER" else max(t, 0) - max(t, 0) // 2 for t in totals]
    after = [max(t, 0) - b for t, b in zip(totals, before, strict=True)]
    kept = [a for a in node.attribute if a.name not in ("auto_pad", "pads", "output_shape", "output_padding")]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute("pads", before + after), helper.make_attribute("output_padding", extra)])
