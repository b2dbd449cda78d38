"""com.microsoft.QGemm becomes Gemm between DequantizeLinear and QuantizeLinear.

Source: ONNX Runtime, docs/ContribOperators.md. C counts in units of alpha * a scale * b scale; without a y scale the result is real.
"""

from __future__ import annotations

import numpy as np
import onnx

from nnc_tvm.frontend.onnx_passes.graph import attributes
from nnc_tvm.frontend.onnx_passes.rewrite import MICROSOFT, Replacement, rewrite


def qgemm(model: onnx.ModelProto) -> None:
    rewrite(model, MICROSOFT, "QGemm", _replace)


def _replace(r: Replacement) -> None:
    """Inputs: a, scale, zero point, b, scale, zero point, C (int32, optional), y scale, y zero point (both optional)."""
    values = attributes(r.node)
    alpha, trans_b = values.get("alpha", 1.0), values.get("transB", 0)
    inputs = [r.real(0), r.real(3, axis=0 if trans_b else 1)]
    if r.input(6):
        unit = r.emit("Mul", r.input(1), r.input(4))
        if alpha != 1.0:
            unit = r.emit("Mul", unit, r.constant(np.array(alpha, np.float32), "alpha"))
        inputs.append(r.emit("DequantizeLinear", r.input(6), unit, axis=-1))
    quantized = bool(r.input(7))
    real = r.emit("Gemm", *inputs, output="" if quantized else r.node.output[0], alpha=alpha, transA=values.get("transA", 0), transB=trans_b)
    if quantized:
        r.quantize(real, 7)
