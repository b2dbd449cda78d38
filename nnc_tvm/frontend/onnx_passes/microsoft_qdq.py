"""com.microsoft.QuantizeLinear and DequantizeLinear, from before ONNX's own knew every dtype, become ONNX's: they mean the same."""

from __future__ import annotations

import onnx

from nnc_tvm.frontend.onnx_passes.rewrite import MICROSOFT


def microsoft_qdq(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        if node.domain == MICROSOFT and node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            node.domain = ""
