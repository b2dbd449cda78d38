"""Transposed convolutions become convolutions, so that they have integer forms and the kernels of convolutions.

y[s i + d t - p] += x[i] w[t] gives each output position s q + r the taps t with d t = r (mod s): a convolution over x for every remainder r
(Shi et al., "Is the deconvolution layer the same as a convolutional layer?", 2016). The convolutions of all remainders are one, with a
channel for every output channel and remainder, whose channels then become neighbours in the image. Taps that a remainder lacks are zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax

from nnc_tvm.relay_passes.graph import Rebuilder, constant, operator_name, rebuild
from nnc_tvm.relay_passes.qdq import dequantize, quantization_of
from nnc_tvm.relay_passes.to_nhwc import TO_NCHW, TO_NHWC
from nnc_tvm.schedules.quantization import QuantParams

Expr = Any
Pair = tuple[int, int]


def by_remainders(weight: np.ndarray, groups: int, strides: Pair, dilation: Pair, fill: np.ndarray) -> np.ndarray:
    """Weights (C, O / groups, kh, kw) of a transposed convolution as those of one convolution, (groups * sh * sw * O / groups, C / groups, jh, jw).

    jh = ceil(((kh - 1) * dilation + 1) / sh). fill: what stands for zero, broadcast against `weight`.
    """
    c, o, *kernel = weight.shape
    taps = [-(-((k - 1) * d + 1) // s) for k, d, s in zip(kernel, dilation, strides, strict=True)]
    whole = np.broadcast_to(fill, (c, o, 1, 1)).astype(weight.dtype).repeat(taps[0] * strides[0], 2).repeat(taps[1] * strides[1], 3)
    whole[:, :, :(kernel[0] - 1) * dilation[0] + 1:dilation[0], :(kernel[1] - 1) * dilation[1] + 1:dilation[1]] = weight
    apart = whole.reshape(groups, c // groups, o, taps[0], strides[0], taps[1], strides[1])[:, :, :, ::-1, :, ::-1]
    return np.ascontiguousarray(apart.transpose(0, 4, 6, 2, 1, 3, 5).reshape(groups * strides[0] * strides[1] * o, c // groups, *taps))


def rearranged(r: Rebuilder, weight: Expr, groups: int, strides: Pair, dilation: Pair) -> Expr | None:
    """The constant `weight`, dequantized or not, as `by_remainders` has it; None where it is not constant or its scales are those of inputs."""
    definition = r.definition(weight)
    values = constant(definition)
    if values is not None:
        return relax.const(by_remainders(values, groups, strides, dilation, np.zeros((), values.dtype)))
    q = quantization_of(definition)
    integers = constant(definition.args[0]) if q is not None else None
    if q is None or integers is None or not (q.per_tensor or q.axis == 1):
        return None
    moved = by_remainders(integers, groups, strides, dilation, q.zero_point.reshape(-1, 1, 1))
    copies = 1 if q.per_tensor else groups * strides[0] * strides[1]
    scale, zero_point = (v if q.per_tensor else np.tile(v, copies) for v in (q.scale, q.zero_point))
    return r.emit(dequantize(relax.const(moved), QuantParams(scale, zero_point, q.dtype, 0)))


def along(size: int, taps: int, stride: int, before: int, output: int) -> tuple[int, int, int]:
    """(padding before, padding after, first output) of one axis: the convolution over `size` pixels whose outputs by `stride` hold the `output`
    ones that come after the first `before`."""
    first = min(before // stride, taps - 1)
    front = taps - 1 - first
    positions = (before + output - 1) // stride - first + 1
    return front, max(positions + taps - 1 - size - front, 0), before - first * stride


def _visit(r: Rebuilder, variable: Expr, call: Expr) -> Expr:
    if operator_name(call) != "relax.nn.conv2d_transpose" or str(call.attrs.data_layout) != "NCHW" or str(call.attrs.kernel_layout) != "IOHW":
        return call
    a, (x, w) = call.attrs, call.args
    strides, dilation = ((int(v[0]), int(v[1])) for v in (a.strides, a.dilation))
    groups, padding = int(a.groups), [int(p) for p in a.padding]
    weight = rearranged(r, w, groups, strides, dilation)
    if weight is None:
        return call
    n, channels, *size = (int(d) for d in variable.ty.shape)
    taps = [-(-((int(k) - 1) * d + 1) // s) for k, d, s in zip(list(w.ty.shape)[2:], dilation, strides, strict=True)]
    axes = [along(int(x.ty.shape[2 + i]), taps[i], strides[i], padding[i], size[i]) for i in (0, 1)]
    (top, bottom, _), (left, right, _) = axes
    result = r.emit(relax.op.nn.conv2d(x, weight, padding=[top, left, bottom, right], groups=groups))
    result = r.emit(relax.op.permute_dims(result, TO_NHWC))
    _, rows, columns, _ = (int(d) for d in result.ty.shape)
    if strides != (1, 1):
        apart = r.emit(relax.op.reshape(result, (n, rows, columns, groups, *strides, channels // groups)))
        turned = r.emit(relax.op.permute_dims(apart, [0, 1, 4, 2, 5, 3, 6]))
        result = r.emit(relax.op.reshape(turned, (n, rows * strides[0], columns * strides[1], channels)))
    begin = [first for _, _, first in axes]
    if [int(d) for d in result.ty.shape][1:3] != size:
        result = r.emit(relax.op.strided_slice(result, [1, 2], begin, [b + s for b, s in zip(begin, size, strict=True)]))
    return relax.op.permute_dims(result, TO_NCHW)


def expand_transposed(module: tvm.IRModule) -> tvm.IRModule:
    """The pass: IRModule -> IRModule, the same meaning."""
    return rebuild(module, _visit)
