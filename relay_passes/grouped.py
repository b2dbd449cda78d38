"""Grouped and depthwise convolutions as ordinary ones with zeros, and back."""

from __future__ import annotations

import numpy as np

from nnc_tvm.schedules.operators import Conv2d, Dense, DepthwiseConv2d

Sum = Conv2d | Dense | DepthwiseConv2d


def groups_of(layer: Sum) -> int:
    """How many parts of the input channels are summed apart."""
    if isinstance(layer, DepthwiseConv2d):
        return layer.inputs[0].shape[3]
    return layer.groups if isinstance(layer, Conv2d) else 1


def rows_of(layer: Sum) -> np.ndarray:
    """The weights of every output channel, (O, K)."""
    return layer.weight.reshape(-1, layer.bias.size).T if isinstance(layer, DepthwiseConv2d) else layer.weight.reshape(layer.bias.size, -1)


def whole(layer: Sum) -> Conv2d | Dense:
    """`layer` without groups: every output channel has weights for all input channels."""
    groups = groups_of(layer)
    if isinstance(layer, Dense) or (isinstance(layer, Conv2d) and groups == 1):
        return layer
    weight = layer.weight.transpose(2, 0, 1)[..., None] if isinstance(layer, DepthwiseConv2d) else layer.weight
    out, kh, kw, channels = weight.shape
    full = np.zeros((groups, out // groups, kh, kw, groups, channels), weight.dtype)
    part = np.arange(groups)
    full[part, :, :, :, part] = weight.reshape(groups, -1, kh, kw, channels)
    residual = layer.residual if isinstance(layer, Conv2d) else None
    return Conv2d(layer.inputs, layer.output, full.reshape(out, kh, kw, -1), layer.bias, layer.epilogue, layer.input_zero_point, layer.strides,
                  layer.padding, layer.dilation, residual=residual)


def in_groups(layer: Conv2d | Dense, groups: int) -> Sum:
    """`layer`, which has no weights between different ones of so many groups, in these groups."""
    if groups == 1 or isinstance(layer, Dense):
        return layer
    out, kh, kw, channels = layer.weight.shape
    part = np.arange(groups)
    weight = layer.weight.reshape(groups, out // groups, kh, kw, groups, channels // groups)[part, :, :, :, part].reshape(out, kh, kw, -1)
    if groups < channels:
        return Conv2d(layer.inputs, layer.output, weight, layer.bias, layer.epilogue, layer.input_zero_point, layer.strides, layer.padding, layer.dilation,
                      groups, layer.residual)
    return DepthwiseConv2d(layer.inputs, layer.output, np.ascontiguousarray(weight[..., 0].transpose(1, 2, 0)), layer.bias, layer.epilogue,
                           layer.input_zero_point, layer.strides, layer.padding, layer.dilation)
