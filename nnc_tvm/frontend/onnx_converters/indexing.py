"""Reading and writing elements at indices: constant ones become slices where they can, those of run time are kept within the tensor."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import tvm
from tvm import relax, te, tirx

from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.frontend.onnx_converters.operands import Converter, Expr, array_of, shape_of
from nnc_tvm.frontend.select import select


def counted(bb: relax.BlockBuilder, indices: Expr, extents: np.ndarray) -> Expr:
    """int64 indices from 0 on; negative ones count from the end. extents: of the axes they are for, broadcast against them.

    Raises InvalidModel for constants outside. At run time those outside become the nearest within: nothing else is ever read or written.
    """
    extents = extents.astype(np.int64)
    if isinstance(indices, tvm.ir.GenericConst):
        values = array_of(indices, "").astype(np.int64)
        if np.any(values < -extents) or np.any(values >= extents):
            raise InvalidModel(f"indices {values.reshape(-1)[:4].tolist()}... for extents {extents.tolist()}; they must lie within")
        return relax.const(np.where(values < 0, values + extents, values), "int64")

    def of(function: Callable[..., Expr], *operands: Expr) -> Expr:
        return bb.normalize(function(*operands))

    wide = of(lambda x: relax.op.astype(x, "int64"), indices)
    zero, limit, last = (relax.const(v, "int64") for v in (np.int64(0), extents, extents - 1))
    forward = of(relax.op.where, of(relax.op.less, wide, zero), of(relax.op.add, wide, limit), wide)
    return of(relax.op.maximum, of(relax.op.minimum, forward, last), zero)


def gather(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """The entries at the indices along `axis`."""
    x, indices = inputs
    axis = attributes.get("axis", 0) % len(shape_of(x))
    if isinstance(indices, tvm.ir.GenericConst):
        return select(bb, x, array_of(indices, ""), axis)
    shape = shape_of(x)
    flat = bb.normalize(relax.op.reshape(counted(bb, indices, np.array(shape[axis])), [-1]))
    return relax.op.reshape(bb.normalize(relax.op.take(x, flat, axis=axis)), [*shape[:axis], *shape_of(indices), *shape[axis + 1 :]])


def gather_elements(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """y[i, j] = x[indices[i, j], j] for axis 0."""
    x, indices = inputs
    axis = attributes.get("axis", 0) % len(shape_of(x))
    return relax.op.gather_elements(x, counted(bb, indices, np.array(shape_of(x)[axis])), axis)


def gather_nd(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """The elements or slices at tuples of indices, behind `batch_dims` axes that both have."""
    x, indices = inputs
    batch, depth = attributes.get("batch_dims", 0), shape_of(indices)[-1]
    return relax.op.gather_nd(x, counted(bb, indices, np.array(shape_of(x)[batch : batch + depth])), batch)


REDUCTIONS: dict[str, tuple[Callable[..., Expr], Callable[[Expr, Expr], Expr], Callable[[str], Expr]]] = {
    "add": (te.sum, lambda a, b: a + b, lambda dtype: tirx.const(0, dtype)),
    "mul": (te.comm_reducer(lambda a, b: a * b, lambda dtype: tirx.const(1, dtype), name="product"), lambda a, b: a * b, lambda dtype: tirx.const(1, dtype)),
    "max": (te.max, tirx.max, tirx.min_value),
    "min": (te.min, lambda a, b: tirx.Min(a, b), tirx.max_value),
}
"""reduction -> (over all updates of an element, of the element and that, where there is none)"""


def scattered(x: te.Tensor, indices: te.Tensor, updates: te.Tensor, axis: int, reduction: str) -> te.Tensor:
    """x with `updates` at `indices` along `axis`: of one place the last one, or all of them by `reduction`. Every element looks through all that may meet it.

    indices: like updates, or of rank 1: for all of an entry.
    """
    k = te.reduce_axis((0, updates.shape[axis]), "k")

    def meets(at: Sequence[Expr]) -> Expr:
        """Whether update k is for the element `at`; updates may be narrower than x on the other axes."""
        place = indices(k) if len(indices.shape) == 1 else indices(*beside(at, k))
        inside = [at[a] < updates.shape[a] for a in range(len(at)) if a != axis and int(updates.shape[a]) < int(x.shape[a])]
        return tirx.all(*inside, tirx.if_then_else(tirx.all(*inside), place, -1) == at[axis]) if inside else place == at[axis]

    def beside(at: Sequence[Expr], position: Expr) -> list[Expr]:
        return [*at[:axis], position, *at[axis + 1 :]]

    if reduction == "none":
        last = te.compute(x.shape, lambda *at: te.max(tirx.if_then_else(meets(at), k, -1), axis=k), name="last")
        return te.compute(x.shape, lambda *at: tirx.if_then_else(last(*at) >= 0, updates(*beside(at, tirx.max(last(*at), 0))), x(*at)), name="scattered")
    over, combine, neutral = REDUCTIONS[reduction]
    all_of = te.compute(x.shape, lambda *at: over(tirx.if_then_else(meets(at), updates(*beside(at, k)), neutral(x.dtype)), axis=k), name="updates")
    return te.compute(x.shape, lambda *at: combine(x(*at), all_of(*at)), name="scattered")


def reduction_of(attributes: Mapping[str, Any]) -> str:
    reduction = str(attributes.get("reduction", b"none").decode())
    if reduction not in ("none", *REDUCTIONS):
        raise Unsupported(f"the reduction '{reduction}'; known are none, {', '.join(REDUCTIONS)}")
    return reduction


def placed(bb: relax.BlockBuilder, x: Expr, places: np.ndarray, updates: Expr) -> Expr:
    """x (N, M) with the rows `updates` (K, M) at the constant `places`, the last of each."""
    rows = np.arange(shape_of(x)[0])
    rows[places] = len(rows) + np.arange(len(places))
    return select(bb, bb.normalize(relax.op.concat([x, updates], axis=0)), rows, 0)


def scatter_elements(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """x, but updates[i, j] at [indices[i, j], j] for axis 0."""
    x, indices, updates = inputs
    shape, reduction = shape_of(x), reduction_of(attributes)
    axis = attributes.get("axis", 0) % len(shape)
    places = counted(bb, indices, np.array(shape[axis]))
    if reduction != "none" or not isinstance(places, tvm.ir.GenericConst):
        return bb.call_te(scattered, x, places, updates, axis, reduction)
    at = list(np.indices(shape_of(indices)))
    at[axis] = array_of(places, "")
    linear = np.ravel_multi_index(at, shape).reshape(-1)
    flat, new = (bb.normalize(relax.op.reshape(v, [-1, 1])) for v in (x, updates))
    return relax.op.reshape(bb.normalize(placed(bb, flat, linear, new)), shape)


def scatter_nd(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """x, but the elements or slices at tuples of indices are `updates`."""
    x, indices, updates = inputs
    shape, reduction, depth = shape_of(x), reduction_of(attributes), shape_of(indices)[-1]
    lead, rest = math.prod(shape[:depth]), math.prod(shape[depth:])
    places = counted(bb, indices, np.array(shape[:depth]))
    strides = np.array([math.prod(shape[a + 1 : depth]) for a in range(depth)], np.int64)
    flat, new = bb.normalize(relax.op.reshape(x, [lead, rest])), bb.normalize(relax.op.reshape(updates, [-1, rest]))
    if isinstance(places, tvm.ir.GenericConst):
        linear: Any = (array_of(places, "") * strides).sum(-1).reshape(-1)
        if reduction == "none":
            return relax.op.reshape(bb.normalize(placed(bb, flat, linear, new)), shape)
        linear = relax.const(linear, "int64")
    else:
        weighted = bb.normalize(relax.op.multiply(places, relax.const(strides, "int64")))
        linear = bb.normalize(relax.op.reshape(bb.normalize(relax.op.sum(weighted, [-1])), [-1]))
    return relax.op.reshape(bb.normalize(bb.call_te(scattered, flat, linear, new, 0, reduction)), shape)


CONVERTERS: dict[str, Converter] = {
    "Gather": gather, "GatherElements": gather_elements, "GatherND": gather_nd, "Scatter": scatter_elements, "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
}
