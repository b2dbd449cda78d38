"""Element-wise arithmetic on two operands, and changes of scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tflite
from tvm import relax

from nnc_tvm.frontend.tflite_converters.activations import activate
from nnc_tvm.frontend.tflite_converters.operands import Converter, Operands

Expr = Any


def binary(function: Callable[[Expr, Expr], Expr], options: type | None = None) -> Converter:
    """A function of two operands, broadcast as NumPy does, with the fused activation of its options where it has them."""

    def convert(o: Operands) -> Expr:
        y = o.emit(function(o.real(0), o.real(1)))
        fused = o.options(options).FusedActivationFunction() if options is not None and o.op.options is not None else tflite.ActivationFunctionType.NONE
        return o.result(activate(o, y, fused))

    return convert


def extreme(function: Callable[[Expr, Expr], Expr]) -> Converter:
    """MAXIMUM or MINIMUM. Quantized operands shall share the output's scale and zero point; LiteRT compares the stored integers whatever these are."""

    def convert(o: Operands) -> Expr:
        if o.tensor(0).dtype == o.tensor(1).dtype == o.output.dtype:
            return function(o.raw(0), o.raw(1))
        return o.result(function(o.real(0), o.real(1)))

    return convert


def quantize(o: Operands) -> Expr:
    """QUANTIZE: float to integers, or integers to another scale."""
    return o.result(o.real(0))


def dequantize(o: Operands) -> Expr:
    """DEQUANTIZE: integers or float16 to float32."""
    return o.real(0)


def squared_difference(a: Expr, b: Expr) -> Expr:
    return relax.op.square(relax.op.subtract(a, b))


CONVERTERS: dict[str, Converter] = {
    "ADD": binary(relax.op.add, tflite.AddOptions),
    "DEQUANTIZE": dequantize,
    "DIV": binary(relax.op.divide, tflite.DivOptions),
    "MAXIMUM": extreme(relax.op.maximum),
    "MINIMUM": extreme(relax.op.minimum),
    "MUL": binary(relax.op.multiply, tflite.MulOptions),
    "QUANTIZE": quantize,
    "SQUARED_DIFFERENCE": binary(squared_difference),
    "SUB": binary(relax.op.subtract, tflite.SubOptions),
}
