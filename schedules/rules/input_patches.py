"""Preparing images for kernels: a copy with borders, widened where the instruction wants it."""

from __future__ import annotations

from functools import cache
from typing import Any

from tvm.script import tirx as T


@cache  # a parsed function costs a tenth of a second, and candidates, passes and layers ask for the same one
def padded_copy(shape: tuple[int, int, int], padded: tuple[int, int], top: int, left: int, value: float, elements: int, dtypes: tuple[str, str],
                offset: int = 0) -> Any:
    """PrimFunc (x (N, H, R), y (elements,)): y is N images of `padded` (rows, elements of a row), `value` but for y[n, top + h, left + r] = x[n, h, r].

    Rows and columns of x that fall outside are left out; what follows the last image is not written. dtypes: of x and y.
    offset: added to all of y, integers modulo its type.
    """
    n, h, r = shape
    rows, row = padded
    x_dtype, y_dtype = dtypes
    copied_rows, copied = max(0, min(h, rows - top)), max(0, min(r, row - left))
    if not (copied_rows and copied):  # strides may reach the border only
        top, left, copied_rows, copied = rows, 0, 0, 0
    # between the copied parts of two rows lies one run of border: the right one of the first and the left one of the second
    gap = row - copied
    before = top * row + left
    after = rows * row - before - max(0, copied_rows - 1) * row - copied

    @T.prim_func(s_tir=True)
    def copy(x: T.Buffer((n, h, r), x_dtype), y: T.Buffer((elements,), y_dtype)) -> None:  # type: ignore[valid-type]
        T.func_attr({"tirx.noalias": True})
        with T.sblock("copy"):
            T.reads(x[0:n, 0:h, 0:r])
            T.writes(y[0:elements])
            for b in range(n):
                for e in T.parallel(before):
                    y[b * (rows * row) + e] = T.Cast(y_dtype, value + offset)
                for i in T.parallel(copied_rows):
                    for e in T.parallel(copied):
                        y[b * (rows * row) + (top + i) * row + left + e] = T.Cast(y_dtype, x[b, i, e]) + T.Cast(y_dtype, offset)
                    if i < copied_rows - 1:
                        for e in T.parallel(gap):
                            y[b * (rows * row) + (top + i) * row + left + copied + e] = T.Cast(y_dtype, value + offset)
                for e in T.parallel(after):
                    y[b * (rows * row) + (rows * row - after) + e] = T.Cast(y_dtype, value + offset)

    return copy


@cache
def split_phases(shape: tuple[int, int, int, int], dtype: str) -> Any:
    """PrimFunc (x (I, A, J, E), y (I, J, A, E)): y[i, j, a, e] = x[i, a, j, e].

    Rows of an image by A and its columns by E elements: what becomes a pixel's channels when a convolution of stride (A, E / C) turns into
    one of stride 1.
    """
    rows, a, columns, e = shape

    @T.prim_func(s_tir=True)
    def split(x: T.Buffer((rows, a, columns, e), dtype), y: T.Buffer((rows, columns, a, e), dtype)) -> None:  # type: ignore[valid-type]
        T.func_attr({"tirx.noalias": True})
        with T.sblock("split"):
            T.reads(x[0:rows, 0:a, 0:columns, 0:e])
            T.writes(y[0:rows, 0:columns, 0:a, 0:e])
            for i in T.parallel(rows):
                for j in range(columns):
                    for p in T.unroll(a):
                        for k in T.unroll(e):
                            y[i, j, p, k] = x[i, p, j, k]

    return split
