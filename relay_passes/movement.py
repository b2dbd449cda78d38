"""Relax operators that move elements, and integer max pooling, as operators."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import relax

from nnc_tvm.relay_passes.composites.match import Match
from nnc_tvm.relay_passes.graph import Graph, operator_name, tensor_type
from nnc_tvm.schedules.operators import Broadcast, Concat, MaxPool2d, Pad, Reshape, StridedSlice, Table, Transpose

Expr = Any


def _reshape(call: Expr, variable: Expr) -> Match:
    return Match(Reshape((tensor_type(call.args[0]),), tensor_type(variable)), (call.args[0],), (variable,))


def _transpose(call: Expr, variable: Expr) -> Match:
    x = tensor_type(call.args[0])
    axes = tuple(int(a) for a in call.attrs.axes) if call.attrs.axes is not None else tuple(range(len(x.shape)))[::-1]
    if [a for a in axes if x.shape[a] != 1] == sorted(a for a in axes if x.shape[a] != 1):
        return _reshape(call, variable)  # only axes of extent 1 move
    return Match(Transpose((x,), tensor_type(variable), axes), (call.args[0],), (variable,))


def _concat(call: Expr, variable: Expr) -> Match:
    parts = tuple(call.args[0].fields)
    y = tensor_type(variable)
    return Match(Concat(tuple(tensor_type(p) for p in parts), y, int(call.attrs.axis) % len(y.shape)), parts, (variable,))


def _max_pool(call: Expr, variable: Expr) -> Match | None:
    a, x = call.attrs, tensor_type(call.args[0])
    if str(a.layout) != "NHWC" or x.dtype not in ("int8", "float32"):
        return None
    bounds = (-128.0, 127.0) if x.dtype == "int8" else (-math.inf, math.inf)
    (kh, kw), (sh, sw), (top, left, bottom, right), (dh, dw) = ([int(v) for v in values] for values in (a.pool_size, a.strides, a.padding, a.dilation))
    operator = MaxPool2d((x,), tensor_type(variable), (kh, kw), (sh, sw), (top, left, bottom, right), (dh, dw), *bounds)
    return Match(operator, (call.args[0],), (variable,))


def _strided_slice(call: Expr, variable: Expr) -> Match | None:
    x = tensor_type(call.args[0])
    axes, begin, end = ([int(v.value) for v in t.fields] if isinstance(t, relax.Tuple) else [int(v) for v in t.values] for t in call.args[1:4])
    strides = [int(v.value) for v in call.args[4].fields] if len(call.args) > 4 and isinstance(call.args[4], relax.Tuple) else [1] * len(axes)
    begins, steps = [0] * len(x.shape), [1] * len(x.shape)
    for axis, b, s in zip(axes, begin, strides, strict=True):
        extent = x.shape[axis]
        b = b + extent if b < 0 else b
        begins[axis], steps[axis] = (min(b, extent) if s > 0 else min(b, extent - 1)), s
    return Match(StridedSlice((x,), tensor_type(variable), tuple(begins), tuple(steps)), (call.args[0],), (variable,))


def _pad(call: Expr, variable: Expr) -> Match | None:
    if str(getattr(call.attrs, "pad_mode", "constant")) != "constant":
        return None
    width = [int(v) for v in call.attrs.pad_width]
    value = float(getattr(call.attrs, "pad_value", 0.0))
    return Match(Pad((tensor_type(call.args[0]),), tensor_type(variable), tuple(width[::2]), tuple(width[1::2]), value), (call.args[0],), (variable,))


def _broadcast(call: Expr, variable: Expr) -> Match:
    return Match(Broadcast((tensor_type(call.args[0]),), tensor_type(variable)), (call.args[0],), (variable,))


def _clip(call: Expr, variable: Expr) -> Match | None:
    x = tensor_type(call.args[0])
    if x.dtype != "int8":
        return None
    table = np.clip(np.arange(-128, 128), float(call.args[1].value), float(call.args[2].value)).astype(np.int8)
    return Match(Table((x,), tensor_type(variable), table), (call.args[0],), (variable,))


LOWER: dict[str, Callable[[Expr, Expr], Match | None]] = {
    "relax.reshape": _reshape, "relax.expand_dims": _reshape, "relax.squeeze": _reshape, "relax.flatten": _reshape, "relax.permute_dims": _transpose,
    "relax.concat": _concat, "relax.nn.max_pool2d": _max_pool, "relax.strided_slice": _strided_slice, "relax.nn.pad": _pad, "relax.broadcast_to": _broadcast,
    "relax.clip": _clip,
}


def lower_movement(graph: Graph, variable: Expr) -> Match | None:
    """The operator for a binding that moves data; None for other bindings."""
    call = graph.definition(variable)
    lower = LOWER.get(operator_name(call))
    return lower(call, variable) if lower else None
