"""Operators that move elements and compute nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import tflite
from tvm import relax

from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.frontend.select import select
from nnc_tvm.frontend.tflite_converters.activations import activate
from nnc_tvm.frontend.tflite_converters.operands import Converter, Operands, same_quantization

Expr = Any


def reshape(o: Operands) -> Expr:
    """RESHAPE, SQUEEZE, EXPAND_DIMS: the same elements in the shape that the file gives the output."""
    shape = o.output.shape
    if np.prod(shape) != np.prod(o.tensor(0).shape):
        raise InvalidModel(f"{list(o.tensor(0).shape)} cannot become {list(shape)}: the numbers of elements differ")
    return o.moved(0, lambda x: relax.op.reshape(x, shape))


def transpose(o: Operands) -> Expr:
    axes = [int(a) for a in o.constant(1, "the axes of a transpose")]
    if sorted(axes) != list(range(len(o.tensor(0).shape))):
        raise InvalidModel(f"the axes {axes} of a transpose of {list(o.tensor(0).shape)}; each axis must appear once")
    return o.moved(0, lambda x: relax.op.permute_dims(x, axes))


def concatenation(o: Operands) -> Expr:
    a = o.options(tflite.ConcatenationOptions)
    fused = a.FusedActivationFunction()
    count = len(o)
    if fused == tflite.ActivationFunctionType.NONE and all(same_quantization(o.tensor(i), o.output) for i in range(count)):
        return relax.op.concat([o.raw(i) for i in range(count)], axis=a.Axis())
    return o.result(activate(o, o.emit(relax.op.concat([o.real(i) for i in range(count)], axis=a.Axis())), fused))


def pad(o: Operands) -> Expr:
    """PAD and PADV2: a real 0, or the constant third input."""
    widths = [int(w) for w in o.constant(1, "the paddings").reshape(-1)]
    if len(widths) != 2 * len(o.tensor(0).shape) or min(widths) < 0:
        raise InvalidModel(f"the paddings {widths} of a tensor of rank {len(o.tensor(0).shape)}; two per axis, none negative")
    q = o.tensor(0).quantization
    value = float(o.constant(2, "the padding value").reshape(-1)[0]) if o.has(2) else float(q.zero_point) if q is not None else 0.0
    if same_quantization(o.tensor(0), o.output) and (not o.has(2) or same_quantization(o.tensor(2), o.output)):
        return relax.op.nn.pad(o.raw(0), widths, pad_value=value)
    fill = o.tensor(2).quantization if o.has(2) else q
    real = value if fill is None else float(fill.scale) * (value - float(fill.zero_point))
    return o.result(relax.op.nn.pad(o.real(0), widths, pad_value=real))


def slice_(o: Operands) -> Expr:
    """SLICE: begin and size, -1 for the rest of an axis."""
    shape = o.tensor(0).shape
    begin = [int(b) for b in o.constant(1, "the begin of a slice")]
    size = [int(s) for s in o.constant(2, "the size of a slice")]
    end = [d if s == -1 else b + s for b, s, d in zip(begin, size, shape, strict=True)]
    if any(not 0 <= b < e <= d for b, e, d in zip(begin, end, shape, strict=True)):
        raise InvalidModel(f"a slice from {begin} to {end} leaves the tensor of shape {list(shape)}")
    return o.moved(0, lambda x: relax.op.strided_slice(x, axes=list(range(len(shape))), begin=begin, end=end))


def strided_slice(o: Operands) -> Expr:
    """STRIDED_SLICE with NumPy's meaning of begin, end and stride; masked ends are open, the result has the file's shape."""
    a = o.options(tflite.StridedSliceOptions)
    shape = o.tensor(0).shape
    begin, end, strides = ([int(v) for v in o.constant(i, "the bounds of a strided slice")] for i in (1, 2, 3))
    starts, stops, steps = [], [], []
    for axis, item in enumerate(_slice_per_axis(a, len(begin), len(shape))):
        if item is None:
            spec = slice(None)
        elif a.ShrinkAxisMask() >> item & 1:
            spec = slice(begin[item] % shape[axis], begin[item] % shape[axis] + 1)
        else:
            spec = slice(None if a.BeginMask() >> item & 1 else begin[item], None if a.EndMask() >> item & 1 else end[item], strides[item])
        if spec.step == 0:
            raise InvalidModel("a strided slice with stride 0")
        first, last, step = spec.indices(shape[axis])
        starts.append(first)
        stops.append(last if last >= 0 else -shape[axis] - 1)  # -1 would mean the last element
        steps.append(step)

    def move(x: Expr) -> Expr:
        y = o.emit(relax.op.strided_slice(x, axes=list(range(len(shape))), begin=starts, end=stops, strides=steps))
        return y if tuple(int(d) for d in y.ty.shape) == o.output.shape else relax.op.reshape(y, o.output.shape)

    return o.moved(0, move)


def _slice_per_axis(options: Any, items: int, rank: int) -> list[int | None]:
    """For each axis of the input the entry of begin, end and strides that cuts it; None where an ellipsis or nothing does."""
    new_axes = [i for i in range(items) if options.NewAxisMask() >> i & 1]
    ellipsis = next((i for i in range(items) if options.EllipsisMask() >> i & 1), items)
    before = [i for i in range(ellipsis) if i not in new_axes]
    after = [i for i in range(ellipsis + 1, items) if i not in new_axes]
    return [*before, *[None] * (rank - len(before) - len(after)), *after]


def split(o: Operands) -> list[Expr]:
    """SPLIT: (axis, x) into equal parts."""
    return _parts(o, 1, int(o.constant(0, "the axis of a split").reshape(-1)[0]))


def split_v(o: Operands) -> list[Expr]:
    """SPLIT_V: (x, sizes, axis); the sizes are those of the outputs."""
    return _parts(o, 0, int(o.constant(2, "the axis of a split").reshape(-1)[0]))


def _parts(o: Operands, i: int, axis: int) -> list[Expr]:
    shape = o.tensor(i).shape
    axis %= len(shape)
    ends = np.cumsum([t.shape[axis] for t in o.outputs]).tolist()
    if ends[-1] != shape[axis]:
        raise InvalidModel(f"a split of {shape[axis]} elements on axis {axis} into parts of {[t.shape[axis] for t in o.outputs]}")

    def part(number: int) -> Expr:
        begin = ends[number - 1] if number else 0
        return o.moved(i, lambda x: relax.op.strided_slice(x, axes=[axis], begin=[begin], end=[ends[number]]), number)

    return [part(n) for n in range(len(o.outputs))]


def gather(o: Operands) -> Expr:
    """GATHER at constant indices."""
    a = o.options(tflite.GatherOptions)
    if a.BatchDims() != 0:
        raise Unsupported(f"a gather with {a.BatchDims()} batch dimensions; only 0 can be compiled")
    axis = o.axis(a.Axis(), o.tensor(0))
    return o.moved(0, lambda x: select(o.bb, x, o.constant(1, "the indices of a gather"), axis))


def pack(o: Operands) -> Expr:
    """PACK: the inputs along a new axis."""
    axis = o.axis(o.options(tflite.PackOptions).Axis(), o.output)
    same = all(same_quantization(o.tensor(i), o.output) for i in range(len(o)))
    grown = [o.emit(relax.op.expand_dims(o.raw(i) if same else o.real(i), axis)) for i in range(len(o))]
    y = relax.op.concat(grown, axis=axis)
    return y if same else o.result(y)


def unpack(o: Operands) -> list[Expr]:
    """UNPACK: the slices along an axis, without it."""
    axis = o.axis(o.options(tflite.UnpackOptions).Axis(), o.tensor(0))

    def one(number: int) -> Expr:
        def move(x: Expr) -> Expr:
            return relax.op.reshape(o.emit(relax.op.strided_slice(x, axes=[axis], begin=[number], end=[number + 1])), o.outputs[number].shape)

        return o.moved(0, move, number)

    return [one(n) for n in range(len(o.outputs))]


CONVERTERS: dict[str, Converter] = {
    "CONCATENATION": concatenation,
    "EXPAND_DIMS": reshape,
    "GATHER": gather,
    "PACK": pack,
    "PAD": pad,
    "PADV2": pad,
    "RESHAPE": reshape,
    "SLICE": slice_,
    "SPLIT": split,
    "SPLIT_V": split_v,
    "SQUEEZE": reshape,
    "STRIDED_SLICE": strided_slice,
    "TRANSPOSE": transpose,
    "UNPACK": unpack,
}
