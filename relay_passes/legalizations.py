"""Loops of Relax operators that replace TVM's own, which are wrong at the ends of a dtype's range, and read outside of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tvm
from tvm import relax, te, tirx

Expr = Any


def extreme(function: Callable[[Expr, Expr], Expr], lowest: bool) -> Callable[[relax.BlockBuilder, tvm.ir.Call], Expr]:
    """A reduction by `function` that begins with an infinity, where TVM's begins with the largest finite number; of bools as of uint8."""

    def start(dtype: str) -> Expr:
        if dtype.startswith("float"):
            return tirx.const(float("-inf" if lowest else "inf"), dtype)
        return tirx.min_value(dtype) if lowest else tirx.max_value(dtype)

    reduce = te.comm_reducer(function, start, name="largest" if lowest else "smallest")

    def loops(x: te.Tensor, axes: list[int], keepdims: bool) -> te.Tensor:
        inner = [te.reduce_axis((0, x.shape[a]), f"k{a}") for a in axes]

        def element(*at: Expr) -> Expr:
            index = list(at)
            for k, a in zip(inner, axes, strict=True):
                index[a:a + keepdims] = [k]
            value = x(*index)
            return reduce(value.astype("uint8") if x.dtype == "bool" else value, axis=inner)

        shape = [1 if a in axes else n for a, n in enumerate(x.shape) if keepdims or a not in axes]
        y = te.compute(shape, element, name="extreme")
        return te.compute(shape, lambda *at: y(*at).astype("bool"), name="flag") if x.dtype == "bool" else y

    def legalize(bb: relax.BlockBuilder, call: tvm.ir.Call) -> Expr:
        rank = len(call.args[0].ty.shape)
        axes = range(rank) if call.attrs.axis is None else (int(a) % rank for a in call.attrs.axis)
        return bb.call_te(loops, call.args[0], sorted(axes), bool(call.attrs.keepdims), primfunc_name_hint="max" if lowest else "min")

    return legalize


def look_up(x: te.Tensor, indices: te.Tensor, axis: int) -> te.Tensor:
    """The entries of x at `indices` along `axis`; indices outside become the nearest within, so that nothing else is ever read."""
    rank = len(indices.shape)
    last = tirx.const(int(x.shape[axis]) - 1, indices.dtype)

    def element(*at: Expr) -> Expr:
        index = te.max(te.min(indices(*at[axis:axis + rank]), last), tirx.const(0, indices.dtype))
        return x(*at[:axis], index, *at[axis + rank:])

    return te.compute([*x.shape[:axis], *indices.shape, *x.shape[axis + 1:]], element, name="take")


def take(bb: relax.BlockBuilder, call: tvm.ir.Call) -> Expr:
    x, indices = call.args
    return bb.call_te(look_up, x, indices, 0 if call.attrs.axis is None else int(call.attrs.axis) % len(x.ty.shape), primfunc_name_hint="take")


# TVM reads the names of the function's parameters
LEGALIZATIONS = {"relax.take": take, "relax.max": extreme(lambda a, b: tirx.Max(a, b), True), "relax.min": extreme(lambda a, b: tirx.Min(a, b), False)}
