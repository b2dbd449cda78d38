"""QLinearMatMul becomes MatMul between DequantizeLinear and QuantizeLinear."""

from __future__ import annotations

import onnx

from nnc_tvm.frontend.onnx_passes.rewrite import Replacement, rewrite


def qlinear_matmul(model: onnx.ModelProto) -> None:
    rewrite(model, "", "QLinearMatMul", _replace)


def _replace(r: Replacement) -> None:
    """Inputs: a, a scale, a zero point, b, b scale, b zero point, y scale, y zero point; one scale per row of a or column of b, or one."""
    r.required(*range(8))
    r.quantize(r.emit("MatMul", r.real(0, axis=-2), r.real(3, axis=-1)), 6)
