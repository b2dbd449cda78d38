"""Average pooling and means (max pooling moves integers and needs no pattern)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nnc_tvm.relay_passes.composites.match import Match, parse_operand, parse_output, single_use
from nnc_tvm.relay_passes.graph import Graph, operator_name, tensor_type
from nnc_tvm.schedules.operators import AveragePool2d, Mean, TensorType
from nnc_tvm.schedules.quantization import FixedRequantize, Mode, make_requantize

Expr = Any


def window_counts(shape: tuple[int, ...], out: tuple[int, ...], kernel: tuple[int, int], strides: tuple[int, int], padding: tuple[int, ...], include_pad: bool) -> np.ndarray:
    """How many elements each window averages, (OH * OW,) or (1,) where all are alike."""
    if include_pad:
        return np.array([kernel[0] * kernel[1]])
    counts = [[min(i * strides[d] - padding[d] + kernel[d], shape[1 + d]) - max(i * strides[d] - padding[d], 0) for i in range(out[1 + d])] for d in (0, 1)]
    table = np.outer(counts[0], counts[1]).reshape(-1)
    return table[:1] if np.all(table == table[0]) else table


def match_average_pool(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """quantize(clamp(avg_pool2d(dequantize(x)))), NHWC."""
    out = parse_output(graph, variable)
    call = graph.definition(out.real)
    if out.quantization is None or operator_name(call) != "relax.nn.avg_pool2d" or str(call.attrs.layout) != "NHWC" or not single_use(graph, out.real):
        return None
    x = parse_operand(graph, call.args[0])
    if x.quantization is None or not x.quantization.per_tensor or x.quantization.dtype != "int8" or any(int(d) != 1 for d in call.attrs.dilation):
        return None
    a = call.attrs
    kernel, strides, padding = tuple(map(int, a.pool_size)), tuple(map(int, a.strides)), tuple(map(int, a.padding))
    source, target = x.type, tensor_type(variable)
    (si, zi), (so, zo) = x.quantization.scalar(), out.quantization.scalar()
    low, high = out.integer_bounds()
    if mode == "fixed" and (si, zi) == (so, zo):
        operator = AveragePool2d((source,), target, kernel, strides, padding, bool(a.count_include_pad), 0, None, low, high)  # type: ignore[arg-type]
    else:
        counts = window_counts(source.shape, target.shape, kernel, strides, padding, bool(a.count_include_pad))  # type: ignore[arg-type]
        real = float(np.float32(si)) / float(np.float32(so)) / counts
        operator = AveragePool2d((source,), target, kernel, strides, padding, bool(a.count_include_pad), zi, make_requantize(mode, real, zo, low, high), low, high)  # type: ignore[arg-type]
    return Match(operator, (x.expr,), (out.real, *out.covered))


def match_integer_average_pool(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """astype(avg_pool2d(astype(x, int32)), int8): how TVM's TFLite importer writes AVERAGE_POOL_2D."""
    outer = graph.definition(variable)
    if operator_name(outer) != "relax.astype" or str(outer.attrs.dtype) != "int8":
        return None
    pool = graph.definition(outer.args[0])
    if operator_name(pool) != "relax.nn.avg_pool2d" or str(pool.attrs.layout) != "NHWC" or not single_use(graph, outer.args[0]):
        return None
    inner = graph.definition(pool.args[0])
    if operator_name(inner) != "relax.astype" or tensor_type(inner.args[0]).dtype != "int8":
        return None
    a = pool.attrs
    operator = AveragePool2d((tensor_type(inner.args[0]),), tensor_type(variable), tuple(map(int, a.pool_size)), tuple(map(int, a.strides)), tuple(map(int, a.padding)),  # type: ignore[arg-type]
                             bool(a.count_include_pad), 0, None)
    return Match(operator, (inner.args[0],), (pool.args[0], outer.args[0], variable) if single_use(graph, pool.args[0]) else (outer.args[0], variable))


def match_mean(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """quantize(clamp(mean(dequantize(x), axes)))"""
    out = parse_output(graph, variable)
    call = graph.definition(out.real)
    if out.quantization is None or operator_name(call) != "relax.mean" or not single_use(graph, out.real):
        return None
    x = parse_operand(graph, call.args[0])
    if x.quantization is None or not x.quantization.per_tensor or x.quantization.dtype != "int8":
        return None
    source: TensorType = x.type
    rank = len(source.shape)
    axes = tuple(sorted(int(i) % rank for i in call.attrs.axis)) if call.attrs.axis is not None else tuple(range(rank))
    count = int(np.prod([source.shape[i] for i in axes]))
    (si, zi), (so, zo) = x.quantization.scalar(), out.quantization.scalar()
    ratio = float(np.float32(si)) / float(np.float32(so))
    low, high = out.integer_bounds()
    requantize = make_requantize(mode, ratio if mode == "fixed" else ratio / count, zo, low, high)
    if isinstance(requantize, FixedRequantize):
        requantize = mean_requantize(requantize, count)
    return Match(Mean((source,), tensor_type(variable), axes, zi, requantize), (x.expr,), (out.real, *out.covered))


def mean_requantize(requantize: FixedRequantize, count: int) -> FixedRequantize:
    """LiteRT's MEAN: the Q31 multiplier is divided by the count after shifting it left by floor(log2(count)) bits."""
    shift = min(count.bit_length() - 1, 32, 31 + int(requantize.shift[0]))
    multiplier = (int(requantize.multiplier[0]) << shift) // count
    return replace(requantize, multiplier=np.array([multiplier], np.int32), shift=requantize.shift - shift)
