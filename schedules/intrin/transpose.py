"""Transposing square tiles in registers by rounds of interleaving."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

HIGHEST_BITS = {"int8": -0x80, "int16": -0x7F80, "int32": -0x7F7F7F80}  # of every byte


def interleave(a: Any, b: Any, half: int, lanes: int) -> Any:
    """The elements of the first (half = 0) or last (1) halves of two vectors in turn: `zip1`/`zip2` and `punpckl`/`punpckh`."""
    start = half * lanes // 2
    return T.Shuffle([a, b], [start + i + lanes * odd for i in range(lanes // 2) for odd in (0, 1)])


def tiled_transpose(batch: tuple[int, ...], in_strides: tuple[int, ...], out_strides: tuple[int, ...], rows: int, columns: int, row_stride: int,
                    column_stride: int, total: int, dtype: str, tile: int, written: int = 0) -> Any:
    """PrimFunc (x (total,), y (written or total,)) with y[b + c * column_stride + r] = x[b' + r * row_stride + c] for r < rows, c < columns.

    b and b' run over `batch` with out_strides and in_strides. See `emit_transpose`.
    """

    def offset(index: Any, strides: tuple[int, ...]) -> Any:
        result, inner = T.int32(0), 1
        for extent, stride in zip(reversed(batch), reversed(strides), strict=True):
            result = result + index // inner % extent * stride
            inner *= extent
        return result

    def emit(x: Any, y: Any) -> None:
        with T.parallel(math.prod(batch)) as b:
            emit_transpose(x, y, offset(b, in_strides), offset(b, out_strides), (rows, columns), row_stride, column_stride, tile)

    return transposing_function(total, written or total, dtype, emit)


def overlapping_planes(image: tuple[int, int], channels: int, tiles: int, step: int, pitch: int, dtype: str, tile: int, flip: bool) -> Any:
    """PrimFunc (x (pixels * C,), y (tiles * channels * pitch,)) with y[t, c, q] = x[t * step + q, c] for q < pitch where there is such a pixel.

    image: (pixels, C), of which the first `channels` are turned.
    flip: the highest bits of all bytes are inverted, which makes x + 128 of int8 x.
    """
    pixels, total = image
    full = max(0, min(tiles, (pixels - pitch) // step + 1))  # tiles all of whose pixels exist

    def emit(x: Any, y: Any) -> None:
        def turn(t: Any, rows: int) -> None:
            emit_transpose(x, y, t * (step * total), t * (channels * pitch), (rows, channels), total, pitch, tile, flip)

        with T.parallel(full) as t:
            turn(t, pitch)
        for last in range(full, tiles):
            turn(T.int32(last), min(pitch, pixels - last * step))

    return transposing_function(pixels * total, tiles * channels * pitch, dtype, emit)


def transposing_function(total: int, written: int, dtype: str, emit: Callable[[Any, Any], None]) -> Any:
    """PrimFunc (x (total,), y (written,)) of what `emit` writes."""
    with IRBuilder() as builder:
        with T.prim_func(s_tir=True):
            T.func_attr({"tirx.noalias": True})
            x, y = T.arg("x", T.buffer((total,), dtype)), T.arg("y", T.buffer((written,), dtype))
            with T.sblock("y"):
                T.reads(x[0:total])
                T.writes(y[0:written])
                emit(x, y)
        return builder.get()


def emit_transpose(x: Any, y: Any, x_at: Any, y_at: Any, shape: tuple[int, int], row_stride: int, column_stride: int, tile: int, flip: bool = False) -> None:
    """y[y_at + c * column_stride + r] = x[x_at + r * row_stride + c] for r and c below `shape`.

    tile x tile elements at a time: log2(tile) rounds of interleaving vector i with vector i + tile / 2 turn rows into columns. The borders
    that fill no tile go element by element. flip: the highest bits of all bytes are inverted.
    """
    rows, columns = shape
    rounds = int(math.log2(tile))
    full_rows, full_columns = rows // tile * tile, columns // tile * tile
    mask = tirx.const(HIGHEST_BITS[str(x.dtype)], str(x.dtype)) if flip else None

    def copy(r: Any, c: Any) -> None:
        value = x[x_at + r * row_stride + c]
        T.buffer_store(y, value if mask is None else value ^ mask, [y_at + c * column_stride + r])

    if full_rows and full_columns:
        with T.serial(full_rows // tile) as r, T.parallel(full_columns // tile) as c:
            vectors = [x.vload([x_at + (r * tile + i) * row_stride + c * tile], f"{x.dtype}x{tile}") for i in range(tile)]
            for _ in range(rounds):
                vectors = turned(vectors, str(x.dtype), tile)
            for i, vector in enumerate(vectors):
                flipped = vector if mask is None else vector ^ T.broadcast(mask, tile)
                T.buffer_store(y, flipped, [T.ramp(y_at + (c * tile + i) * column_stride + r * tile, 1, tile)])
    if full_rows and columns > full_columns:
        with T.serial(columns - full_columns) as c, T.parallel(full_rows) as r:
            copy(r, full_columns + c)
    if rows > full_rows:
        with T.parallel(columns) as c, T.serial(rows - full_rows) as r:
            copy(full_rows + r, c)


def turned(vectors: list[Any], dtype: str, tile: int) -> list[Any]:
    """One round: each result is held in a buffer, for expressions that grew by rounds would be copied."""
    held = T.sblock_alloc_buffer((tile, tile), dtype, scope="local")
    for i in range(tile // 2):
        for half in (0, 1):
            T.buffer_store(held, interleave(vectors[i], vectors[i + tile // 2], half, tile), [2 * i + half, T.ramp(0, 1, tile)])
    return [held.vload([i, 0], f"{dtype}x{tile}") for i in range(tile)]
