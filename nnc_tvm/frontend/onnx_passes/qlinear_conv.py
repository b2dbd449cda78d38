"""QLinearConv becomes Conv between DequantizeLinear and QuantizeLinear; its bias counts in units of input scale * weight scale (ONNX, QLinearConv)."""

from __future__ import annotations

import onnx

from nnc_tvm.frontend.onnx_passes.rewrite import Replacement, rewrite


def qlinear_conv(model: onnx.ModelProto) -> None:
    rewrite(model, "", "QLinearConv", _replace)


def _replace(r: Replacement) -> None:
    """Inputs: x, x scale, x zero point, w, w scale, w zero point, y scale, y zero point, bias (optional). Weight scales are per output channel."""
    r.required(*range(8))
    inputs = [r.real(0), r.real(3, axis=0)]
    if r.input(8):
        unit = r.emit("Mul", r.input(1), r.input(4))
        inputs.append(r.emit("DequantizeLinear", r.input(8), unit, axis=0))
    convolution = r.emit("Conv", *inputs)
    r.nodes[-1].attribute.extend(r.node.attribute)
    r.quantize(convolution, 6)
