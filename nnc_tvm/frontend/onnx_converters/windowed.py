"""Convolution and pooling. 1-D signals become images of height 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from tvm import relax

from nnc_tvm.errors import Unsupported
from nnc_tvm.frontend.onnx_converters.operands import Converter, Expr, optional, shape_of


def _pair(values: Sequence[int], first: int) -> list[int]:
    """The entries for a window over (height, width): a 1-D window gets `first` for the height."""
    return [int(v) for v in values] if len(values) == 2 else [first, int(values[0])]


def _pads(values: Sequence[int]) -> list[int]:
    """ONNX's begins and ends as top, left, bottom, right."""
    return [int(v) for v in values] if len(values) == 4 else [0, int(values[0]), 0, int(values[1])]


def _as_image(bb: relax.BlockBuilder, x: Expr, what: str) -> tuple[Expr, bool]:
    """(x as NCHW, whether it was NCW)."""
    shape = shape_of(x)
    if len(shape) == 4:
        return x, False
    if len(shape) == 3:
        return bb.normalize(relax.op.reshape(x, [shape[0], shape[1], 1, shape[2]])), True
    raise Unsupported(f"{what} of {len(shape) - 2} spatial dimensions; 1 and 2 can be compiled")


def _as_signal(bb: relax.BlockBuilder, y: Expr, was_signal: bool) -> Expr:
    y = bb.normalize(y)
    n, c, _, w = shape_of(y)
    return relax.op.reshape(y, [n, c, w]) if was_signal else y


def conv(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """Convolution in 2-D; 1-D signals become images of height 1."""
    x, signal = _as_image(bb, inputs[0], "convolution")
    w = _as_image(bb, inputs[1], "convolution")[0]
    rank = 1 if signal else 2
    ones = [1] * rank
    y = bb.normalize(relax.op.nn.conv2d(
        x, w, strides=_pair(attributes.get("strides", ones), 1), padding=_pads(attributes.get("pads", [0] * 2 * rank)),
        dilation=_pair(attributes.get("dilations", ones), 1), groups=int(attributes.get("group", 1)), data_layout="NCHW", kernel_layout="OIHW"))
    if optional(inputs, 2) is not None:
        y = bb.normalize(relax.op.add(y, bb.normalize(relax.op.reshape(inputs[2], [1, -1, 1, 1]))))
    return _as_signal(bb, y, signal)


def _ceil_pads(size: list[int], kernel: list[int], strides: list[int], pads: list[int], dilation: list[int]) -> list[int]:
    """Padding after which rounding the output size down gives what ceil_mode gives; a last window wholly in the padding is dropped (ONNX, MaxPool)."""
    result = list(pads)
    for i in (0, 1):
        span = size[i] + pads[i] + pads[i + 2] - ((kernel[i] - 1) * dilation[i] + 1)
        count = -(-span // strides[i]) + 1
        if (count - 1) * strides[i] >= size[i] + pads[i]:
            count -= 1
        result[i + 2] += (count - 1) * strides[i] - span
    return result


def pool(average: bool) -> Converter:
    """Average or maximum pooling."""

    def convert(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
        if len(node.output) > 1:
            raise Unsupported("the indices of a max pooling; only its values can be compiled, cut the model before what reads them")
        x, signal = _as_image(bb, inputs[0], "pooling")
        rank = 1 if signal else 2
        kernel, strides = _pair(attributes["kernel_shape"], 1), _pair(attributes.get("strides", [1] * rank), 1)
        dilation, pads = _pair(attributes.get("dilations", [1] * rank), 1), _pads(attributes.get("pads", [0] * 2 * rank))
        include = bool(attributes.get("count_include_pad", 0))
        if attributes.get("ceil_mode", 0):
            full = _ceil_pads(shape_of(x)[2:], kernel, strides, pads, dilation)
            if average and include and full != pads:  # the model's padding counts, what rounding up adds to it does not
                top, left, bottom, right = pads
                x = bb.normalize(relax.op.nn.pad(x, [0, 0, 0, 0, top, bottom, left, right]))
                full, include = [0, 0, full[2] - bottom, full[3] - right], False
            pads = full
        # padding cut below zero: windows that floor away the input's end
        pads = [max(p, 0) for p in pads]
        if average:
            y = relax.op.nn.avg_pool2d(x, kernel, strides, pads, dilation, False, include, layout="NCHW")
        else:
            y = relax.op.nn.max_pool2d(x, kernel, strides, pads, dilation, False, layout="NCHW")
        return _as_signal(bb, y, signal)

    return convert


def global_max_pool(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """One window as large as the image."""
    x, signal = _as_image(bb, inputs[0], "pooling")
    return _as_signal(bb, relax.op.nn.max_pool2d(x, shape_of(x)[2:], layout="NCHW"), signal)


CONVERTERS: dict[str, Converter] = {"AveragePool": pool(average=True), "Conv": conv, "GlobalMaxPool": global_max_pool, "MaxPool": pool(average=False)}
