"""Preparing images for kernels: a copy with borders, widened where the instruction wants it."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T


def padded_copy(rows: tuple[int, int, int], padded: tuple[int, int, int], top: int, left: int, value: int | float, dtypes: tuple[str, str], lanes: int) -> Any:
    """PrimFunc (x (N, H, R), y (N, HP, RP)): y is `value` everywhere but y[n, top + h, left + r] = x[n, h, r].

    rows: (N, H, R) with R = width * channels; padded: (N, HP, RP); top in rows, left in elements; dtypes of x and y.
    """
    n, h, r = rows
    _, hp, rp = padded
    total = n * hp * rp
    x_dtype, y_dtype = dtypes
    used = min(r, rp - left)  # rows that a stride never reaches to the end are cut
    used_rows = min(h, hp - top)

    @T.prim_func(s_tir=True)
    def copy(x: T.Buffer((n, h, r), x_dtype), y: T.Buffer((n, hp, rp), y_dtype)):
        T.func_attr({"tirx.noalias": True})
        flat = T.decl_buffer((total,), y_dtype, data=y.data)
        with T.sblock("copy"):
            T.reads(x[0:n, 0:h, 0:r])
            T.writes(y[0:n, 0:hp, 0:rp])
            for i in range(total // lanes):
                for j in T.vectorized(lanes):
                    flat[i * lanes + j] = T.Cast(y_dtype, value)
            for j in range(total % lanes):
                flat[total // lanes * lanes + j] = T.Cast(y_dtype, value)
            for b in range(n):
                for i in range(used_rows):
                    for j in range(used // lanes):
                        for k in T.vectorized(lanes):
                            y[b, top + i, left + j * lanes + k] = T.Cast(y_dtype, x[b, i, j * lanes + k])
                    for j in range(used % lanes):
                        y[b, top + i, left + used // lanes * lanes + j] = T.Cast(y_dtype, x[b, i, used // lanes * lanes + j])

    return copy
