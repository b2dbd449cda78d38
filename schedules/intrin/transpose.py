"""Transposing square tiles in registers by rounds of interleaving."""

from __future__ import annotations

import math
from typing import Any

from tvm import tirx
from tvm.script import tirx as T


def interleave(a: Any, b: Any, half: int, lanes: int) -> Any:
    """The elements of the first (half = 0) or last (1) halves of two vectors in turn: `zip1`/`zip2` and `punpckl`/`punpckh`."""
    start = half * lanes // 2
    return T.Shuffle([a, b], [start + i + lanes * odd for i in range(lanes // 2) for odd in (0, 1)])


def tiled_transpose(batch: tuple[int, ...], in_strides: tuple[int, ...], out_strides: tuple[int, ...], rows: int, columns: int, row_stride: int,
                    column_stride: int, total: int, dtype: str, tile: int, written: int = 0, flip: bool = False) -> Any:
    """PrimFunc (x (total,), y (written or total,)) with y[b + c * column_stride + r] = x[b' + r * row_stride + c] for r < rows, c < columns.

    b and b' run over `batch` with out_strides and in_strides. tile x tile elements at a time: log2(tile) rounds of interleaving
    vector i with vector i + tile / 2 turn rows into columns. The borders that fill no tile go element by element.
    flip: y is of int8 and its highest bits are inverted, which makes x + 128 of int8 x.
    """
    rounds = int(math.log2(tile))
    full_rows, full_columns = rows // tile * tile, columns // tile * tile

    def offset(index: Any, strides: tuple[int, ...]) -> Any:
        result, inner = T.int32(0), 1
        for extent, stride in zip(reversed(batch), reversed(strides), strict=True):
            result = result + index // inner % extent * stride
            inner *= extent
        return result

    def changed(value: Any, lanes: int = 1) -> Any:
        if not flip:
            return value
        ones = tirx.const(-128, "int8")
        return value ^ (T.broadcast(ones, lanes) if lanes > 1 else ones)

    @T.prim_func(s_tir=True)
    def transpose_kernel(x: T.Buffer((total,), dtype), y: T.Buffer((written or total,), dtype)) -> None:  # type: ignore[valid-type]
        T.func_attr({"tirx.noalias": True})
        with T.sblock("y"):
            T.reads(x[0:total])
            T.writes(y[0 : written or total])
            for b in range(math.prod(batch)):
                for r in range(full_rows // tile):
                    for c in range(full_columns // tile):
                        held = T.alloc_buffer((rounds + 1, tile, tile), dtype, scope="local")
                        for i in T.unroll(tile):
                            held[0, i, T.ramp(0, 1, tile)] = x[T.ramp(offset(b, in_strides) + (r * tile + i) * row_stride + c * tile, 1, tile)]
                        for k in T.unroll(rounds):
                            for i in T.unroll(tile // 2):
                                held[k + 1, 2 * i, T.ramp(0, 1, tile)] = interleave(
                                    held[k, i, T.ramp(0, 1, tile)], held[k, i + tile // 2, T.ramp(0, 1, tile)], 0, tile)
                                held[k + 1, 2 * i + 1, T.ramp(0, 1, tile)] = interleave(
                                    held[k, i, T.ramp(0, 1, tile)], held[k, i + tile // 2, T.ramp(0, 1, tile)], 1, tile)
                        for i in T.unroll(tile):
                            y[T.ramp(offset(b, out_strides) + (c * tile + i) * column_stride + r * tile, 1, tile)] = changed(
                                held[rounds, i, T.ramp(0, 1, tile)], tile)
                for c in range(columns - full_columns):
                    for r in range(full_rows):
                        y[offset(b, out_strides) + (full_columns + c) * column_stride + r] = changed(
                            x[offset(b, in_strides) + r * row_stride + full_columns + c])
                for c in range(columns):
                    for r in range(rows - full_rows):
                        y[offset(b, out_strides) + c * column_stride + full_rows + r] = changed(
                            x[offset(b, in_strides) + (full_rows + r) * row_stride + c])

    return transpose_kernel
