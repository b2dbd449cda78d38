"""Unary functions, and the activations that other operators have fused in."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tflite
from tvm import relax

from nnc_tvm.errors import Unsupported
from nnc_tvm.frontend.tflite_converters.operands import Converter, Operands, dequantize
from nnc_tvm.schedules.quantization import QuantParams

Expr = Any
FUSED: dict[int, Callable[[Expr], Expr]] = {
    tflite.ActivationFunctionType.NONE: lambda x: x,
    tflite.ActivationFunctionType.RELU: relax.op.nn.relu,
    tflite.ActivationFunctionType.RELU_N1_TO_1: functools.partial(relax.op.clip, min=-1, max=1),
    tflite.ActivationFunctionType.RELU6: functools.partial(relax.op.clip, min=0, max=6),
    tflite.ActivationFunctionType.TANH: relax.op.tanh,
}


def activate(o: Operands, real: Expr, function: int) -> Expr:
    """The fused activation `function` (an ActivationFunctionType) of `real`."""
    if function not in FUSED:
        names = {v: k for k, v in vars(tflite.ActivationFunctionType).items() if isinstance(v, int)}
        raise Unsupported(f"the fused activation {names.get(function, function)}")
    return o.emit(FUSED[function](o.emit(real)))


def unary(function: Callable[[Expr], Expr]) -> Converter:
    """A function of one operand."""
    return lambda o: o.result(function(o.real(0)))


def hard_swish(x: Expr) -> Expr:
    """x * clip(x + 3, 0, 6) / 6 (Howard et al., "Searching for MobileNetV3")."""
    return relax.op.multiply(x, relax.op.divide(relax.op.clip(relax.op.add(x, relax.const(np.float32(3))), 0, 6), relax.const(np.float32(6))))


def elu(x: Expr) -> Expr:
    """x above 0, exp(x) - 1 below; the exponential never sees a positive x, so it cannot overflow."""
    below = relax.op.subtract(relax.op.exp(relax.op.minimum(x, relax.const(np.float32(0)))), relax.const(np.float32(1)))
    return relax.op.add(relax.op.nn.relu(x), below)


def leaky_relu(o: Operands) -> Expr:
    return o.result(relax.op.nn.leakyrelu(o.real(0), o.finite(o.options(tflite.LeakyReluOptions).Alpha(), "its slope alpha")))


def gelu(o: Operands) -> Expr:
    function = relax.op.nn.gelu_tanh if o.options(tflite.GeluOptions).Approximate() else relax.op.nn.gelu
    return o.result(function(o.real(0)))


def prelu(o: Operands) -> Expr:
    """x above 0, alpha * x below, alpha broadcast as NumPy does. Of integers each side is a product that is rounded by itself, the first by an integer 1:
    LiteRT divides the scales in float32 as products do, not as a rescaling."""
    x, q = o.real(0), o.tensor(0).quantization
    if q is None or o.output.quantization is None:
        below = o.emit(relax.op.minimum(x, relax.const(np.float32(0))))
        return o.result(relax.op.add(o.emit(relax.op.nn.relu(x)), o.emit(relax.op.multiply(below, o.real(1)))))
    kind = o.tensor(0).dtype
    one = o.emit(dequantize(relax.const(np.ones((1,) * len(o.tensor(0).shape), kind)), QuantParams(np.array(1, np.float32), np.array(0, np.int32), kind)))
    above, below = (o.emit_variable(o.result(relax.op.multiply(x, factor))) for factor in (one, o.real(1)))
    return relax.op.where(o.emit(relax.op.greater_equal(o.raw(0), relax.const(q.zero_point.astype(kind)))), above, below)


def negative(o: Operands) -> Expr:
    """-x. LiteRT's int8 kernel negates the stored integers whatever their scales and zero points, and -128 stays."""
    if o.tensor(0).dtype == o.output.dtype == "int8":
        return relax.op.negative(o.raw(0))
    return o.result(relax.op.negative(o.real(0)))


CONVERTERS: dict[str, Converter] = {
    "ELU": unary(elu),
    "GELU": gelu,
    "HARD_SWISH": unary(hard_swish),
    "LEAKY_RELU": leaky_relu,
    "LOGISTIC": unary(relax.op.sigmoid),
    "PRELU": prelu,
    "RELU": unary(relax.op.nn.relu),
    "RELU6": unary(functools.partial(relax.op.clip, min=0, max=6)),
    "RELU_0_TO_1": unary(functools.partial(relax.op.clip, min=0, max=1)),
    "RELU_N1_TO_1": unary(functools.partial(relax.op.clip, min=-1, max=1)),
    "TANH": unary(relax.op.tanh),
    "ABS": unary(relax.op.abs),
    "EXP": unary(relax.op.exp),
    "LOG": unary(relax.op.log),
    "NEG": negative,
    "SQRT": unary(relax.op.sqrt),
    "RSQRT": unary(relax.op.rsqrt),
    "SQUARE": unary(relax.op.square),
}
