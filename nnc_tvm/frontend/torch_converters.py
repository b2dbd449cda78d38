"""Converters of operators where TVM's give something that cannot be compiled offline."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import relax

from nnc_tvm.frontend import torch_batch_norm, torch_quantized, torch_series
from nnc_tvm.frontend.group_norm import group_norm

Node = Any
Expr = Any


def size(node: Node, importer: Any) -> int:
    """An extent, which is known: the batch was fixed at the inputs."""
    return int(importer.env[node.args[0]].ty.shape[node.args[1]])


def shape_of(x: Expr) -> list[int]:
    return [int(d) for d in x.ty.shape]


def argument(node: Node, position: int, name: str, default: Any) -> Any:
    """An argument given by position or by name."""
    return node.args[position] if len(node.args) > position else node.kwargs.get(name, default)


def axes_of(x: Expr, axes: Any) -> list[int]:
    """Axes >= 0; all of them for None and ()."""
    rank = len(x.ty.shape)
    return [a % rank for a in ([axes] if isinstance(axes, int) else axes or range(rank))]


def parts(importer: Any, x: Expr, axis: int, extents: list[int]) -> list[Expr]:
    """Consecutive slices of these extents along `axis`."""
    starts = [sum(extents[:i]) for i in range(len(extents))]
    slices = (relax.op.strided_slice(x, axes=[axis], begin=[b], end=[b + e], strides=[1]) for b, e in zip(starts, extents, strict=True))
    return [importer.block_builder.emit(s) for s in slices]


def equal_parts(total: int, extent: int) -> list[int]:
    """`total` in parts of `extent`; the last one may be smaller."""
    return [min(extent, total - start) for start in range(0, total, extent)]


def split(node: Node, importer: Any) -> list[Expr]:
    """Parts of one extent, or of listed ones."""
    x, extents = importer.env[node.args[0]], node.args[1]
    [axis] = axes_of(x, argument(node, 2, "dim", 0))
    return parts(importer, x, axis, equal_parts(shape_of(x)[axis], extents) if isinstance(extents, int) else [int(e) for e in extents])


def chunk(node: Node, importer: Any) -> list[Expr]:
    """At most so many parts, of one extent."""
    x = importer.env[node.args[0]]
    [axis] = axes_of(x, argument(node, 2, "dim", 0))
    total = shape_of(x)[axis]
    return parts(importer, x, axis, equal_parts(total, -(-total // int(node.args[1]))))


def unbind(node: Node, importer: Any) -> list[Expr]:
    """Every entry of an axis, without the axis."""
    x = importer.env[node.args[0]]
    [axis] = axes_of(x, argument(node, 1, "dim", 0))
    entries = parts(importer, x, axis, [1] * shape_of(x)[axis])
    return [importer.block_builder.emit(relax.op.squeeze(e, [axis])) for e in entries]


def select(node: Node, importer: Any) -> Expr:
    """One entry of an axis, without the axis."""
    x = importer.env[node.args[0]]
    [axis] = axes_of(x, node.args[1])
    index = int(node.args[2]) % shape_of(x)[axis]
    entry = relax.op.strided_slice(x, axes=[axis], begin=[index], end=[index + 1], strides=[1])
    return importer.block_builder.emit(relax.op.squeeze(importer.block_builder.emit(entry), [axis]))


def pixel_shuffle(node: Node, importer: Any) -> Expr:
    """(N, C r r, H, W) -> (N, C, H r, W r): a reshape, a transpose, a reshape."""
    x, r = importer.env[node.args[0]], int(node.args[1])
    n, channels, height, width = shape_of(x)
    emit = importer.block_builder.emit
    blocks = emit(relax.op.reshape(x, [n, channels // (r * r), r, r, height, width]))
    return emit(relax.op.reshape(emit(relax.op.permute_dims(blocks, [0, 1, 4, 2, 5, 3])), [n, channels // (r * r), height * r, width * r]))


def extreme(operator: Callable[..., Expr]) -> Callable[[Node, Any], Expr]:
    """The largest or smallest element along some axes."""

    def convert(node: Node, importer: Any) -> Expr:
        x = importer.env[node.args[0]]
        return importer.block_builder.emit(operator(x, axes_of(x, argument(node, 1, "dim", ())), keepdims=bool(argument(node, 2, "keepdim", False))))

    return convert


def extreme_and_index(operator: Callable[..., Expr], index: Callable[..., Expr]) -> Callable[[Node, Any], list[Expr]]:
    """The largest or smallest element along one axis, and where it is."""

    def convert(node: Node, importer: Any) -> list[Expr]:
        x, keep = importer.env[node.args[0]], bool(argument(node, 2, "keepdim", False))
        [axis] = axes_of(x, node.args[1])
        return [importer.block_builder.emit(f(x, axis, keepdims=keep)) for f in (operator, index)]

    return convert


def variance(root: bool) -> Callable[[Node, Any], Expr]:
    """sum((x - mean)^2) / (count - correction), or its root; TVM's divides by the count."""

    def convert(node: Node, importer: Any) -> Expr:
        x, emit = importer.env[node.args[0]], importer.block_builder.emit
        axes = axes_of(x, argument(node, 1, "dim", None))
        count = math.prod(shape_of(x)[a] for a in axes)
        correction = node.kwargs.get("correction")
        centred = emit(relax.op.subtract(x, emit(relax.op.mean(x, axes, keepdims=True))))
        total = emit(relax.op.sum(emit(relax.op.multiply(centred, centred)), axes, keepdims=bool(node.kwargs.get("keepdim", False))))
        result = emit(relax.op.divide(total, relax.const(np.float32(count - (1 if correction is None else correction)))))
        return emit(relax.op.sqrt(result)) if root else result

    return convert


def max_pool(node: Node, importer: Any) -> Expr:
    """Maximum pooling; where windows may pass the end (ceil_mode) the padding there is wider."""
    x = importer.env[node.args[0]]
    window = pair(node.args[1])
    strides = pair(argument(node, 2, "stride", None) or window)
    begin, dilation = pair(argument(node, 3, "padding", 0)), pair(argument(node, 4, "dilation", 1))
    end = list(begin)
    for i, extent in enumerate(shape_of(x)[-2:]) if argument(node, 5, "ceil_mode", False) else ():
        reach = dilation[i] * (window[i] - 1) + 1
        outputs = -(-(extent + 2 * begin[i] - reach) // strides[i]) + 1
        outputs -= (outputs - 1) * strides[i] >= extent + begin[i]  # the last window must begin inside
        end[i] = max(begin[i], (outputs - 1) * strides[i] + reach - extent - begin[i])
    return importer.block_builder.emit(relax.op.nn.max_pool2d(x, pool_size=window, strides=strides, padding=[*begin, *end], dilation=dilation))


def pair(value: Any) -> list[int]:
    """The numbers of both axes, which may be given as one."""
    values = [value] if isinstance(value, int) else list(value)
    return [int(v) for v in (values * 2 if len(values) == 1 else values)]


def group_normalization(node: Node, importer: Any) -> Expr:
    """Each group of channels of an image by its own mean and variance."""
    scale, bias = (importer.env[a] if a is not None else None for a in (argument(node, 2, "weight", None), argument(node, 3, "bias", None)))
    return group_norm(importer.block_builder.emit, importer.env[node.args[0]], int(node.args[1]), scale, bias, float(argument(node, 4, "eps", 1e-5)))


def adaptive_average_pool(node: Node, importer: Any) -> Expr:
    """To 1x1 a mean, to a divisor of the extents an average pool of fixed windows, which have integer forms; windows that overlap are TVM's."""
    x = importer.env[node.args[0]]
    height, width = shape_of(x)[-2:]
    wanted = node.args[1]
    rows, columns = (wanted[0] or height, wanted[1] or width) if isinstance(wanted, list | tuple) else (wanted, wanted)
    if (rows, columns) == (1, 1):
        return importer.block_builder.emit(relax.op.mean(x, axis=[-2, -1], keepdims=True))
    if len(x.ty.shape) == 4 and height % rows == 0 and width % columns == 0:
        window = [height // rows, width // columns]
        return importer.block_builder.emit(relax.op.nn.avg_pool2d(x, pool_size=window, strides=window))
    return importer.convert_map["adaptive_avg_pool2d.default"](node)


CONVERTERS: dict[str, Callable[[Node, Any], Any]] = {
    "sym_size.int": size, "split.Tensor": split, "split_with_sizes.default": split, "chunk.default": chunk,
    "adaptive_avg_pool2d.default": adaptive_average_pool, "max_pool2d.default": max_pool, "pixel_shuffle.default": pixel_shuffle,
    "group_norm.default": group_normalization,
    "unbind.int": unbind, "select.int": select, "amax.default": extreme(relax.op.max), "amin.default": extreme(relax.op.min),
    "max.dim": extreme_and_index(relax.op.max, relax.op.argmax), "min.dim": extreme_and_index(relax.op.min, relax.op.argmin),
    "var.correction": variance(False), "std.correction": variance(True),
    torch_batch_norm.NAME: torch_batch_norm.convert, **torch_quantized.CONVERTERS, **torch_series.CONVERTERS,
}
