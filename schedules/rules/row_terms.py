"""Sums of rows: what an operand's zero point, or an offset of its weights, adds to all output channels of a pixel."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T


def row_terms(shape: tuple[int, int, int], padded: int, factor: int) -> Any:
    """PrimFunc (a (B, M, K), y (B, padded)): y[b, m] = factor * sum over k of a[b, m, k]; 0 for rows that do not exist."""
    b, m, k = shape

    @T.prim_func(s_tir=True)
    def function(a: T.Buffer((b, m, k), "int8"), y: T.Buffer((b, padded), "int32")) -> None:  # type: ignore[valid-type]
        T.func_attr({"tirx.noalias": True})
        with T.sblock("rows"):
            T.reads(a[0:b, 0:m, 0:k])
            T.writes(y[0:b, 0:padded])
            for n in T.parallel(b):
                for i in range(padded):
                    y[n, i] = 0
                for i, e in T.grid(m, k):
                    y[n, i] = y[n, i] + T.Cast("int32", a[n, i, e])
                for i in range(m):
                    y[n, i] = y[n, i] * factor

    return function
