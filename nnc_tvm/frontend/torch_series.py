"""Convolution and pooling of series: images of height 1, as which they have integer forms and kernels. TVM's 1-D operators have neither."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx
from tvm import relax

from nnc_tvm.frontend.onnx_converters import windowed

Node = Any
Expr = Any
ONE_RESULT = onnx.NodeProto(output=["y"])


def arguments(node: Node, names: tuple[str, ...], defaults: tuple[Any, ...]) -> list[Any]:
    """The arguments after the first, given by position or by name."""
    given = dict(zip(names, node.args[1:], strict=False)) | node.kwargs
    return [given.get(name, default) for name, default in zip(names, defaults, strict=True)]


def single(value: Any) -> int:
    """A number that may be given as a list of one."""
    return int(value[0] if isinstance(value, list | tuple) else value)


def of_batches(convert: Callable[[Node, Any, Expr], Expr]) -> Callable[[Node, Any], Expr]:
    """A converter that is given its input with a batch; one that has none gets a batch of 1 for the while."""

    def converted(node: Node, importer: Any) -> Expr:
        x, emit = importer.env[node.args[0]], importer.block_builder.emit
        if len(x.ty.shape) == 3:
            return emit(convert(node, importer, x))
        return emit(relax.op.squeeze(emit(convert(node, importer, emit(relax.op.expand_dims(x, 0)))), [0]))

    return converted


@of_batches
def conv(node: Node, importer: Any, x: Expr) -> Expr:
    """conv1d, its padding a number, "same" or "valid"."""
    names = ("weight", "bias", "stride", "padding", "dilation", "groups")
    weight, bias, stride, padding, dilation, groups = arguments(node, names, (None, None, 1, 0, 1, 1))
    weight = importer.env[weight]
    reach = single(dilation) * (int(weight.ty.shape[2]) - 1)
    pads = {"same": [reach // 2, reach - reach // 2], "valid": [0, 0]}.get(padding) if isinstance(padding, str) else [single(padding)] * 2
    attributes = {"strides": [single(stride)], "pads": pads, "dilations": [single(dilation)], "group": int(groups)}
    operands = [x, weight] if bias is None else [x, weight, importer.env[bias]]
    return windowed.conv(importer.block_builder, operands, attributes, ONE_RESULT)


@of_batches
def max_pool(node: Node, importer: Any, x: Expr) -> Expr:
    """max_pool1d"""
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    window, stride, padding, dilation, ceil = arguments(node, names, (None, None, 0, 1, False))
    return pooled(importer, x, False, single(window), stride, single(padding), ceil_mode=int(ceil), dilations=[single(dilation)])


@of_batches
def average_pool(node: Node, importer: Any, x: Expr) -> Expr:
    """avg_pool1d"""
    names = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
    window, stride, padding, ceil, include = arguments(node, names, (None, None, 0, False, True))
    return pooled(importer, x, True, single(window), stride, single(padding), ceil_mode=int(ceil), count_include_pad=int(include))


def pooled(importer: Any, x: Expr, average: bool, window: int, stride: Any, padding: int, **others: Any) -> Expr:
    """A pooling; its stride is the window where none is given."""
    attributes = {"kernel_shape": [window], "strides": [single(stride) if stride not in (None, []) else window], "pads": [padding] * 2, **others}
    return windowed.pool(average)(importer.block_builder, [x], attributes, ONE_RESULT)


@of_batches
def adaptive_average_pool(node: Node, importer: Any, x: Expr) -> Expr:
    """To one step a mean, to a divisor of the steps an average pool; windows that overlap are TVM's."""
    wanted, steps = single(node.args[1]), int(x.ty.shape[-1])
    if wanted == 1:
        return relax.op.mean(x, axis=[-1], keepdims=True)
    if steps % wanted == 0:
        return pooled(importer, x, True, steps // wanted, None, 0)
    return relax.op.nn.adaptive_avg_pool1d(x, wanted)


CONVERTERS: dict[str, Callable[[Node, Any], Expr]] = {
    "conv1d.default": conv, "conv1d.padding": conv, "max_pool1d.default": max_pool, "avg_pool1d.default": average_pool,
    "adaptive_avg_pool1d.default": adaptive_average_pool,
}
