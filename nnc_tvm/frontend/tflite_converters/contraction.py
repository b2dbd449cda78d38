"""Convolutions, dense layers and matrix products."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tflite
from tvm import relax

from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.frontend.tflite_converters.activations import activate
from nnc_tvm.frontend.tflite_converters.operands import Converter, Operands, dequantize
from nnc_tvm.relay_passes.dynamic_calls import dequantized, quantized, scale_and_zero
from nnc_tvm.schedules.quantization import QuantParams

Expr = Any


def padding_of(scheme: int, size: tuple[int, int], window: tuple[int, int], strides: tuple[int, int]) -> list[int]:
    """top, left, bottom, right. SAME: ceil(size / stride) outputs, an odd element of padding at the bottom and right."""
    if scheme == tflite.Padding.VALID:
        return [0, 0, 0, 0]
    if scheme != tflite.Padding.SAME:
        raise InvalidModel(f"the padding scheme {scheme}; SAME and VALID are known")
    totals = [max((math.ceil(n / s) - 1) * s + k - n, 0) for n, k, s in zip(size, window, strides, strict=True)]
    return [t // 2 for t in totals] + [t - t // 2 for t in totals]


def positive(what: str, height: int, width: int) -> tuple[int, int]:
    """(height, width). Raises InvalidModel when one is not positive."""
    if min(height, width) <= 0:
        raise InvalidModel(f"{what} {[height, width]}; they must be positive")
    return height, width


def weights(o: Operands, i: int, axes: tuple[int, ...] | None, shape: tuple[int, ...] | None = None, axis: int = 0) -> Expr:
    """Constant weights transposed by `axes`, then reshaped; quantized ones behind a dequantize whose channels lie on `axis` of the result.

    Weights computed at run time (float16 weights behind a dequantize are constants by then) are transposed at run time.
    """
    tensor = o.tensor(i)
    if tensor.data is None:
        x = o.real(i) if axes is None else o.emit(relax.op.permute_dims(o.real(i), axes))
        return x if shape is None else o.emit(relax.op.reshape(x, shape))
    value = tensor.data if axes is None else tensor.data.transpose(axes)
    value = np.ascontiguousarray(value if shape is None else value.reshape(shape))
    if tensor.dtype == "float16":
        value = value.astype(np.float32)
    if tensor.quantization is None:
        return relax.const(value)
    q = tensor.quantization
    return o.emit(dequantize(relax.const(value), QuantParams(q.scale, q.zero_point, q.dtype, 0 if q.per_tensor else axis)))


def add_bias(o: Operands, y: Expr) -> Expr:
    """y + bias, input 2 where it is there. Integers without a scale are in units of input scale * weight scale."""
    if not o.has(2):
        return y
    bias = o.tensor(2)
    x, w = o.tensor(0).quantization, o.tensor(1).quantization
    if bias.dtype in ("int32", "int64") and bias.quantization is None and x is not None and w is not None:
        scale = (x.scale * w.scale).astype(np.float32)
        real = o.emit(dequantize(o.raw(2), QuantParams(scale, np.zeros(scale.shape, np.int32), bias.dtype, 0)))
    else:
        real = o.real(2)
    return o.emit(relax.op.add(o.emit(y), real))


def hybrid(o: Operands) -> QuantParams | None:
    """The quantization of int8 weights under a float activation, None for others: dynamic-range quantization, activations are rounded at run time."""
    x, w = o.tensor(0), o.tensor(1)
    return w.quantization if x.dtype == "float32" and w.dtype == "int8" and w.data is not None else None


def at_run_time(o: Operands, x: Expr, rows: int, symmetric: bool) -> Expr:
    """The reals of x quantized by the range of each of its rows."""
    scale, zero = scale_and_zero(o.emit_variable, x, rows, symmetric)
    return dequantized(o.emit_variable, quantized(o.emit_variable, x, scale, zero), scale, zero)


def conv2d(o: Operands) -> Expr:
    """CONV_2D: x NHWC, weights OHWI."""
    a = o.options(tflite.Conv2DOptions)
    (_, h, w, c), (_, kh, kw, ci) = o.tensor(0).shape, o.tensor(1).shape
    return _convolution(o, a, (h, w), (kh, kw), weights(o, 1, (1, 2, 3, 0), axis=3), "HWIO", c // ci)


def depthwise_conv2d(o: Operands) -> Expr:
    """DEPTHWISE_CONV_2D: weights (1, H, W, channels * multiplier), output channel i reads input channel i // multiplier."""
    a = o.options(tflite.DepthwiseConv2DOptions)
    (_, h, w, c), (_, kh, kw, out) = o.tensor(0).shape, o.tensor(1).shape
    if c == 1:
        return _convolution(o, a, (h, w), (kh, kw), weights(o, 1, None, (kh, kw, 1, out), 3), "HWIO", 1)
    return _convolution(o, a, (h, w), (kh, kw), weights(o, 1, None, (kh, kw, out, 1), 2), "HWOI", c)


def _convolution(o: Operands, a: Any, size: tuple[int, int], kernel: tuple[int, int], w: Expr, layout: str, groups: int) -> Expr:
    strides = positive("strides", a.StrideH(), a.StrideW())
    dilation = positive("dilation factors", a.DilationHFactor(), a.DilationWFactor())
    window = ((kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1)
    padding = padding_of(a.Padding(), size, window, strides)
    x, q = o.real(0), hybrid(o)
    if q is not None:  # LiteRT's kernel for weights of one scale rounds symmetrically, that for scales per channel does not
        x = at_run_time(o, x, o.tensor(0).shape[0], symmetric=o.op.code == "CONV_2D" and q.per_tensor)
    y = relax.op.nn.conv2d(x, w, strides=strides, padding=padding, dilation=dilation, groups=groups, data_layout="NHWC", kernel_layout=layout)
    return o.result(activate(o, add_bias(o, o.emit(y)), a.FusedActivationFunction()))


def fully_connected(o: Operands) -> Expr:
    """FULLY_CONNECTED: the input as rows of K elements times weights (O, K); the output's shape is the file's."""
    a = o.options(tflite.FullyConnectedOptions)
    if a.WeightsFormat() != tflite.FullyConnectedOptionsWeightsFormat.DEFAULT:
        raise Unsupported("shuffled weights; convert the model with the default weights format")
    rows, units, depth = int(np.prod(o.tensor(0).shape)) // o.tensor(1).shape[1], *o.tensor(1).shape
    x = o.real(0)
    if o.tensor(0).shape != (rows, depth):
        x = o.emit(relax.op.reshape(x, (rows, depth)))
    if hybrid(o) is not None:
        x = at_run_time(o, x, rows, symmetric=not a.AsymmetricQuantizeInputs())
    y = add_bias(o, o.emit(relax.op.matmul(x, weights(o, 1, (1, 0), axis=1))))
    y = o.emit(o.result(activate(o, y, a.FusedActivationFunction())))
    shape = o.output.shape if np.prod(o.output.shape) == rows * units else (rows, units)
    return y if shape == (rows, units) else relax.op.reshape(y, shape)


def batch_matmul(o: Operands) -> Expr:
    """BATCH_MATMUL: products of the last two axes, either side transposed."""
    a = o.options(tflite.BatchMatMulOptions)
    x, y = (_transposed(o, i) if flag else o.real(i) for i, flag in ((0, a.AdjX()), (1, a.AdjY())))
    return o.result(relax.op.matmul(x, y))


def _transposed(o: Operands, i: int) -> Expr:
    rank = len(o.tensor(i).shape)
    return o.emit(relax.op.permute_dims(o.real(i), [*range(rank - 2), rank - 1, rank - 2]))


CONVERTERS: dict[str, Converter] = {"BATCH_MATMUL": batch_matmul, "CONV_2D": conv2d, "DEPTHWISE_CONV_2D": depthwise_conv2d, "FULLY_CONNECTED": fully_connected}
