"""com.microsoft.MatMulIntegerToFloat and DynamicQuantizeMatMul become MatMul between DequantizeLinear, the latter behind DynamicQuantizeLinear.

Source: ONNX Runtime, docs/ContribOperators.md.
"""

from __future__ import annotations

import onnx

from nnc_tvm.frontend.onnx_passes.rewrite import MICROSOFT, Replacement, rewrite


def microsoft_products(model: onnx.ModelProto) -> None:
    rewrite(model, MICROSOFT, "MatMulIntegerToFloat", _matmul_integer_to_float)
    rewrite(model, MICROSOFT, "DynamicQuantizeMatMul", _dynamic_quantize_matmul)


def _matmul_integer_to_float(r: Replacement) -> None:
    """Inputs: A, B, A scale, B scale, A zero point, B zero point, bias (the last three optional)."""
    r.required(0, 1, 2, 3)
    a = r.emit("DequantizeLinear", r.input(0), r.input(2), r.input(4))
    _product(r, a, r.emit("DequantizeLinear", r.input(1), r.input(3), r.input(5), axis=-1), r.input(6))


def _dynamic_quantize_matmul(r: Replacement) -> None:
    """Inputs: A (float), B, B scale, B zero point, bias (the last two optional)."""
    r.required(0, 1, 2)
    q, scale, zero = (f"{r.node.output[0]}::{name}" for name in ("quantized", "scale", "zero"))
    r.nodes.append(onnx.helper.make_node("DynamicQuantizeLinear", [r.input(0)], [q, scale, zero], name=r.node.name or r.node.output[0]))
    a = r.emit("DequantizeLinear", q, scale, zero)
    _product(r, a, r.emit("DequantizeLinear", r.input(1), r.input(2), r.input(3), axis=-1), r.input(4))


def _product(r: Replacement, a: str, b: str, bias: str) -> None:
    product = r.emit("MatMul", a, b, output="" if bias else r.node.output[0])
    if bias:
        r.emit("Add", product, bias, output=r.node.output[0])
