"""Operators whose elements stand in another order that is known when compiling, or are known altogether."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from tvm import relax

from nnc_tvm.errors import InvalidModel
from nnc_tvm.frontend.onnx_converters.operands import Converter, Expr, array_of, shape_of
from nnc_tvm.frontend.select import select


def space_to_depth(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """(N, C, H, W) -> (N, C b b, H / b, W / b): a block's places before the channels (DCR), or after them (CRD)."""
    (n, c, h, w), b = shape_of(inputs[0]), int(attributes["blocksize"])
    if b < 1 or h % b or w % b:
        raise InvalidModel(f"blocks of {b} of a tensor of shape {[n, c, h, w]}; they must divide height and width")
    order = [0, 1, 3, 5, 2, 4] if attributes.get("mode", b"DCR") == b"CRD" else [0, 3, 5, 1, 2, 4]
    blocks = bb.normalize(relax.op.reshape(inputs[0], [n, c, h // b, b, w // b, b]))
    return relax.op.reshape(bb.normalize(relax.op.permute_dims(blocks, order)), [n, c * b * b, h // b, w // b])


def reverse_sequence(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """The first steps of each entry of the batch, as many as its length, in reverse; constant lengths."""
    x, time, batch = inputs[0], int(attributes.get("time_axis", 0)), int(attributes.get("batch_axis", 1))
    shape, lengths = shape_of(x), array_of(inputs[1], "the sequences' lengths").reshape(-1).astype(np.int64)
    if {time, batch} != {0, 1} or len(shape) < 2:
        raise InvalidModel(f"time axis {time} and batch axis {batch}; one is 0, the other 1")
    steps, entries = shape[time], shape[batch]
    if lengths.size != entries or lengths.min() < 0 or lengths.max() > steps:
        raise InvalidModel(f"lengths {lengths.tolist()[:8]} for {entries} sequences of {steps} steps")
    step = np.arange(steps)[:, None]
    places = np.where(step < lengths, lengths - 1 - step, step)  # (steps, entries): the step that each comes from
    flat = places * entries + np.arange(entries) if time == 0 else (np.arange(entries) * steps + places).T
    rows = bb.normalize(relax.op.reshape(x, [shape[0] * shape[1], *shape[2:]]))
    return relax.op.reshape(bb.normalize(select(bb, rows, flat.reshape(-1), 0)), shape)


def eye_like(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """Ones on a diagonal, zeros elsewhere, in the shape of x."""
    x = inputs[0]
    kind = attributes.get("dtype", helper.np_dtype_to_tensor_dtype(np.dtype(str(x.ty.dtype))))
    if kind not in TensorProto.DataType.values():
        raise InvalidModel(f"the data type {kind}, which is unknown")
    rows, columns = shape_of(x)
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    return relax.const(np.eye(rows, columns, int(attributes.get("k", 0)), dtype), str(dtype))


def wrapped(bb: relax.BlockBuilder, x: Expr, before: Sequence[int], after: Sequence[int]) -> Expr:
    """x continued on either side of every axis by its own other end. Raises InvalidModel for more than it has."""
    for axis, (b, a) in enumerate(zip(before, after, strict=True)):
        extent = shape_of(x)[axis]
        if max(b, a) > extent:
            raise InvalidModel(f"pads {b} and {a} of mode wrap on axis {axis} with {extent} elements; pad by no more than these")
        parts = [(extent - b, extent)] * (b > 0) + [(0, extent)] + [(0, a)] * (a > 0)
        if len(parts) > 1:
            x = bb.emit(relax.op.concat([bb.normalize(relax.op.strided_slice(x, axes=[axis], begin=[p], end=[q])) for p, q in parts], axis))
    return x


CONVERTERS: dict[str, Converter] = {"EyeLike": eye_like, "ReverseSequence": reverse_sequence, "SpaceToDepth": space_to_depth}
