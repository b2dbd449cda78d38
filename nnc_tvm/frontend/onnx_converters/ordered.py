"""Operators whose results depend on the order of elements: running sums and products, and the largest few."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from tvm import relax, te, tirx

from nnc_tvm.errors import InvalidModel
from nnc_tvm.frontend.onnx_converters.operands import Converter, Expr, array_of, shape_of


def running(function: Callable[[Expr, Expr], Expr], neutral: int) -> Converter:
    """The function of all elements up to each, in log2 of the extent steps that each double how far back a result reaches."""

    def convert(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
        x, shape = inputs[0], shape_of(inputs[0])
        axis = int(array_of(inputs[1], "the axis of a running sum or product").reshape(-1)[0]) % len(shape)
        extent, backwards = shape[axis], bool(attributes.get("reverse", 0))

        def moved(y: Expr, count: int) -> Expr:
            """y, `count` places further in the direction of the sum."""
            dtype = str(x.ty.dtype)
            fill = relax.const(np.full([*shape[:axis], count, *shape[axis + 1 :]], neutral, dtype), dtype)
            begin, end = (count, extent) if backwards else (0, extent - count)
            kept = [bb.normalize(relax.op.strided_slice(y, axes=[axis], begin=[begin], end=[end]))] if count < extent else []
            return bb.normalize(relax.op.concat([*kept, fill] if backwards else [fill, *kept], axis=axis))

        y, reach = moved(x, 1) if attributes.get("exclusive", 0) else x, 1
        while reach < extent:
            y = bb.normalize(function(y, moved(y, reach)))
            reach *= 2
        return y

    return convert


def ranked(x: te.Tensor, axis: int, count: int, largest: bool) -> te.Tensor:
    """int64: where the `count` largest or smallest elements along `axis` are, in their order; of equals the first one first."""
    j = te.reduce_axis((0, x.shape[axis]), "j")
    i = te.reduce_axis((0, x.shape[axis]), "i")

    def beside(at: Sequence[Expr], position: Expr) -> list[Expr]:
        return [*at[:axis], position, *at[axis + 1 :]]

    def before(at: Sequence[Expr]) -> Expr:
        other, own = x(*beside(at, j)), x(*at)
        return tirx.any(other > own if largest else other < own, tirx.all(tirx.EQ(other, own), j < at[axis]))

    rank = te.compute(x.shape, lambda *at: te.sum(tirx.if_then_else(before(at), 1, 0), axis=j), name="rank")

    def place(*at: Expr) -> Expr:
        return te.sum(tirx.if_then_else(tirx.EQ(rank(*beside(at, i)), at[axis]), i.var.astype("int64"), tirx.const(0, "int64")), axis=i)

    return te.compute(beside(list(x.shape), count), place, name="place")


def top_k(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """(the k largest or smallest elements along `axis`, where they are)."""
    x, shape = inputs[0], shape_of(inputs[0])
    axis, k = attributes.get("axis", -1) % len(shape), int(array_of(inputs[1], "k").reshape(-1)[0])
    if not 1 <= k <= shape[axis]:
        raise InvalidModel(f"the {k} largest of {shape[axis]} elements; k must lie within 1 and their number")
    places = bb.emit(bb.call_te(ranked, x, axis, k, bool(attributes.get("largest", 1))))
    return relax.Tuple([bb.normalize(relax.op.gather_elements(x, places, axis)), places])


CONVERTERS: dict[str, Converter] = {"CumProd": running(relax.op.multiply, 1), "CumSum": running(relax.op.add, 0), "TopK": top_k}
