"""Pooling, reductions and softmax."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import tflite
from tvm import relax

from nnc_tvm.errors import InvalidModel
from nnc_tvm.frontend.tflite_converters.activations import activate
from nnc_tvm.frontend.tflite_converters.contraction import padding_of, positive
from nnc_tvm.frontend.tflite_converters.operands import Converter, Operands, dequantize

Expr = Any


def _window(o: Operands) -> dict[str, Any]:
    a = o.options(tflite.Pool2DOptions)
    if len(o.tensor(0).shape) != 4:
        raise InvalidModel(f"an input of shape {list(o.tensor(0).shape)}; pooling needs (batch, height, width, channels)")
    _, h, w, _ = o.tensor(0).shape
    kernel = positive("filter size", a.FilterHeight(), a.FilterWidth())
    strides = positive("strides", a.StrideH(), a.StrideW())
    padding = padding_of(a.Padding(), (h, w), kernel, strides)
    return {"pool_size": kernel, "strides": strides, "padding": padding, "layout": "NHWC"}


def average_pool(o: Operands) -> Expr:
    """AVERAGE_POOL_2D: elements outside the image do not count."""
    y = relax.op.nn.avg_pool2d(o.real(0), **_window(o), count_include_pad=False)
    return o.result(activate(o, y, o.options(tflite.Pool2DOptions).FusedActivationFunction()))


def max_pool(o: Operands) -> Expr:
    """MAX_POOL_2D."""
    window, fused = _window(o), o.options(tflite.Pool2DOptions).FusedActivationFunction()
    if fused == tflite.ActivationFunctionType.NONE:
        return o.moved(0, lambda x: relax.op.nn.max_pool2d(x, **window))
    return o.result(activate(o, relax.op.nn.max_pool2d(o.real(0), **window), fused))


def reduction(function: Callable[[Expr, list[int], bool], Expr]) -> Converter:
    """A reduction over constant axes."""

    def convert(o: Operands) -> Expr:
        rank = len(o.tensor(0).shape)
        axes = sorted({int(a) % rank for a in np.atleast_1d(o.constant(1, "the axes of a reduction"))})
        keep = bool(o.options(tflite.ReducerOptions).KeepDims())
        return o.result(function(o.real(0), axes, keep) if axes else o.real(0))

    return convert


def softmax(o: Operands) -> Expr:
    """SOFTMAX over the last axis of beta * x."""
    beta = np.float32(o.finite(o.options(tflite.SoftmaxOptions).Beta(), "its factor beta"))
    q = o.tensor(0).quantization
    if q is not None and beta > 0:  # the same integers, on a scale beta times as large
        x = o.emit(dequantize(o.raw(0), replace(q, scale=q.scale * beta)))
    else:
        x = o.real(0) if beta == 1 else o.emit(relax.op.multiply(o.real(0), relax.const(beta)))
    return o.result(relax.op.nn.softmax(x, axis=-1))


def log_softmax(o: Operands) -> Expr:
    """LOG_SOFTMAX over the last axis."""
    return o.result(relax.op.nn.log_softmax(o.real(0), axis=-1))


CONVERTERS: dict[str, Converter] = {
    "AVERAGE_POOL_2D": average_pool,
    "LOG_SOFTMAX": log_softmax,
    "MAX_POOL_2D": max_pool,
    "MEAN": reduction(relax.op.mean),
    "REDUCE_MAX": reduction(relax.op.max),
    "REDUCE_MIN": reduction(relax.op.min),
    "SOFTMAX": softmax,
    "SUM": reduction(relax.op.sum),
}
