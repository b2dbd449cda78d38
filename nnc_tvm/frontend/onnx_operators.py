"""Operators outside ONNX's own operator set that can be imported."""

FOREIGN_OPERATORS = frozenset({
    ("com.microsoft", "QuantizeLinear"), ("com.microsoft", "DequantizeLinear"),
    ("com.microsoft", "Gelu"), ("com.microsoft", "FastGelu"), ("com.microsoft", "BiasGelu"),
})
