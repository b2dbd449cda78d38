"""Operators outside ONNX's own operator set that can be imported."""

MICROSOFT = frozenset({
    "QuantizeLinear", "DequantizeLinear", "Gelu", "FastGelu", "BiasGelu",
    "QLinearAdd", "QLinearMul", "QLinearConcat", "QLinearAveragePool", "QLinearGlobalAveragePool", "QLinearReduceMean", "QLinearSigmoid",
    "QLinearSoftmax", "QLinearLeakyRelu", "QGemm", "MatMulNBits", "MatMulIntegerToFloat", "DynamicQuantizeMatMul",
})
FOREIGN_OPERATORS = frozenset(("com.microsoft", name) for name in MICROSOFT)
