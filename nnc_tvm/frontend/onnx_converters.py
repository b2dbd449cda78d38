"""ONNX operators that nnc-tvm converts to Relax itself: where TVM's importer leaves the operators that the passes know, or is wrong.

Each converter: (builder, inputs as Relax expressions or None, attributes, node) -> expression. CONVERTERS is the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import tvm
from tvm import relax

from nnc_tvm.errors import Unsupported
from nnc_tvm.frontend.select import select

Expr = Any
Converter = Callable[[relax.BlockBuilder, Sequence[Expr], Mapping[str, Any], onnx.NodeProto], Expr]


def shape_of(expr: Expr) -> list[int]:
    """The static shape of a typed expression."""
    return [int(d) for d in expr.ty.shape]


def array_of(expr: Expr, what: str) -> np.ndarray:
    """The value of a constant operand. Raises Unsupported when it is computed at run time."""
    if not isinstance(expr, tvm.ir.GenericConst):
        raise Unsupported(f"{what} is computed at run time; it must be constant, simplify the model (onnxsim) or export it with fixed sizes")
    return expr.value.numpy()


def optional(inputs: Sequence[Expr], index: int) -> Expr | None:
    return inputs[index] if index < len(inputs) else None


def clip(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """min(max(x, low), high); an absent bound is infinite. Bounds computed at run time become maximum and minimum."""
    x, low, high = inputs[0], optional(inputs, 1), optional(inputs, 2)
    if all(b is None or isinstance(b, tvm.ir.GenericConst) for b in (low, high)) and str(x.ty.dtype) == "float32":
        bounds = [default if b is None else float(array_of(b, "").reshape(-1)[0]) for b, default in ((low, -math.inf), (high, math.inf))]
        if bounds == [0.0, math.inf]:
            return relax.op.nn.relu(x)
        if bounds[1] == math.inf:
            return relax.op.maximum(x, relax.const(np.float32(bounds[0])))
        if bounds[0] == -math.inf:
            return relax.op.minimum(x, relax.const(np.float32(bounds[1])))
        return relax.op.clip(x, *bounds)
    y = x if low is None else bb.normalize(relax.op.maximum(x, low))
    return y if high is None else relax.op.minimum(y, high)


def pad(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """Pads with a constant, by reflection or with the border's elements; negative pads cut off."""
    x, mode = inputs[0], attributes.get("mode", b"constant").decode()
    rank = len(shape_of(x))
    pads = [int(p) for p in array_of(inputs[1], "'pads'")]
    axes = [int(a) % rank for a in array_of(optional(inputs, 3), "'axes'")] if optional(inputs, 3) is not None else list(range(rank))
    before, after = [0] * rank, [0] * rank
    for axis, b, a in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        before[axis], after[axis] = b, a
    value = float(array_of(optional(inputs, 2), "the padding value").reshape(-1)[0]) if optional(inputs, 2) is not None else 0.0
    cuts = [(max(-b, 0), d - max(-a, 0)) for b, a, d in zip(before, after, shape_of(x), strict=True)]
    if any(b < 0 or a < 0 for b, a in zip(before, after, strict=True)):
        x = bb.normalize(relax.op.strided_slice(x, axes=list(range(rank)), begin=[c[0] for c in cuts], end=[c[1] for c in cuts]))
    widths = [max(w, 0) for pair in zip(before, after, strict=True) for w in pair]
    modes = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}
    if mode not in modes:
        raise Unsupported(f"padding mode '{mode}'; use one of {', '.join(modes)}")
    if not any(widths):
        return x
    return relax.op.nn.pad(x, widths, pad_mode=modes[mode], pad_value=value)


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


def _pool(average: bool) -> Converter:
    def convert(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
        if len(node.output) > 1 and node.output[1]:
            raise Unsupported("the indices of a max pooling; only its values can be compiled")
        x, signal = _as_image(bb, inputs[0], "pooling")
        rank = 1 if signal else 2
        kernel, strides = _pair(attributes["kernel_shape"], 1), _pair(attributes.get("strides", [1] * rank), 1)
        dilation, pads = _pair(attributes.get("dilations", [1] * rank), 1), _pads(attributes.get("pads", [0] * 2 * rank))
        include = bool(attributes.get("count_include_pad", 0))
        if attributes.get("ceil_mode", 0):
            full = _ceil_pads(shape_of(x)[2:], kernel, strides, pads, dilation)
            if average and include and full != pads:
                raise Unsupported("average pooling with both ceil_mode and count_include_pad; export it with one of them")
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


def batch_normalization(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """x * factor + shift per channel, in inference."""
    gamma, beta, mean, variance = (array_of(i, "a batch normalization parameter").astype(np.float64) for i in inputs[1:5])
    if attributes.get("training_mode", 0):
        raise Unsupported("batch normalization in training mode; export the model in inference mode")
    factor = gamma / np.sqrt(variance + attributes.get("epsilon", 1e-5))
    shape = [-1] + [1] * (len(shape_of(inputs[0])) - 2)
    scaled = bb.normalize(relax.op.multiply(inputs[0], relax.const(factor.reshape(shape).astype(np.float32))))
    return relax.op.add(scaled, relax.const((beta - mean * factor).reshape(shape).astype(np.float32)))


def gemm(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """alpha * A @ B + beta * C. alpha multiplies the product, so that A and B may stay integers."""
    a, b = inputs[0], inputs[1]
    if attributes.get("transA", 0):
        a = bb.normalize(relax.op.permute_dims(a, [1, 0]))
    if attributes.get("transB", 0):
        b = bb.normalize(relax.op.permute_dims(b, [1, 0]))
    y = bb.normalize(relax.op.matmul(a, b))
    if (alpha := attributes.get("alpha", 1.0)) != 1.0:
        y = bb.normalize(relax.op.multiply(y, relax.const(np.float32(alpha))))
    c, beta = optional(inputs, 2), attributes.get("beta", 1.0)
    if c is None or beta == 0.0:
        return y
    if beta != 1.0:
        c = bb.normalize(relax.op.multiply(c, relax.const(np.float32(beta))))
    return relax.op.add(y, c)


def flatten(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """(product of the extents before `axis`, product of the others)."""
    shape = shape_of(inputs[0])
    axis = attributes.get("axis", 1)
    axis += len(shape) if axis < 0 else 0
    return relax.op.reshape(inputs[0], [math.prod(shape[:axis]), math.prod(shape[axis:])])


def gather(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """The entries at constant indices along `axis`."""
    axis = attributes.get("axis", 0) % len(shape_of(inputs[0]))
    return select(bb, inputs[0], array_of(inputs[1], "the indices of a gather"), axis)


CONVERTERS: dict[str, Converter] = {
    "AveragePool": _pool(average=True),
    "BatchNormalization": batch_normalization,
    "Clip": clip,
    "Conv": conv,
    "Flatten": flatten,
    "Gather": gather,
    "Gemm": gemm,
    "GlobalMaxPool": global_max_pool,
    "MaxPool": _pool(average=False),
    "Pad": pad,
}
