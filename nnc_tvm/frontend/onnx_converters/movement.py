"""Operators that move elements and compute nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from tvm import relax

from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.frontend.onnx_converters.operands import Converter, Expr, array_of, optional, shape_of
from nnc_tvm.frontend.onnx_converters.rearranged import wrapped


def pad(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """Pads with a constant, by reflection, from the other end or with the border's elements; negative pads cut off."""
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
    if mode == "wrap":
        return wrapped(bb, x, widths[::2], widths[1::2])
    if mode not in modes:
        raise Unsupported(f"padding mode '{mode}'; use one of {', '.join(modes)}, wrap")
    if not any(widths):
        return x
    return relax.op.nn.pad(x, widths, pad_mode=modes[mode], pad_value=value)


def flatten(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """(product of the extents before `axis`, product of the others)."""
    shape = shape_of(inputs[0])
    axis = attributes.get("axis", 1)
    axis += len(shape) if axis < 0 else 0
    return relax.op.reshape(inputs[0], [math.prod(shape[:axis]), math.prod(shape[axis:])])


def split(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """Slices of the given sizes along `axis`; without sizes equal ones, the last smaller where they do not divide the extent."""
    x = inputs[0]
    axis = attributes.get("axis", 0) % len(shape_of(x))
    extent, count = shape_of(x)[axis], len(node.output)
    if optional(inputs, 1) is not None:
        sizes = [int(v) for v in array_of(inputs[1], "the sizes of a split")]
    else:
        even = -(-extent // count)
        sizes = [even] * (count - 1) + [extent - even * (count - 1)]
    if len(sizes) != count or sum(sizes) != extent or min(sizes) <= 0:
        raise InvalidModel(f"a split of {extent} elements on axis {axis} into {count} parts of {sizes}")
    ends = np.cumsum(sizes).tolist()
    return relax.Tuple([bb.normalize(relax.op.strided_slice(x, axes=[axis], begin=[e - s], end=[e])) for s, e in zip(sizes, ends, strict=True)])


def tile(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """x repeated as often along each axis as the constant second input says."""
    y = inputs[0]
    for axis, count in enumerate(array_of(inputs[1], "the repeats of a tile").tolist()):
        if count < 1:
            raise InvalidModel(f"{count} repeats on axis {axis}; at least 1 keeps the tensor")
        y = bb.normalize(relax.op.concat([y] * count, axis=axis)) if count > 1 else y
    return y


def shape(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """The extents from `start` to `end`, constant."""
    return relax.const(np.array(shape_of(inputs[0])[attributes.get("start", 0) : attributes.get("end")], np.int64), "int64")


def size(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """The number of elements, constant."""
    return relax.const(np.array(math.prod(shape_of(inputs[0])), np.int64), "int64")


CONVERTERS: dict[str, Converter] = {"Flatten": flatten, "Pad": pad, "Shape": shape, "Size": size, "Split": split, "Tile": tile}
