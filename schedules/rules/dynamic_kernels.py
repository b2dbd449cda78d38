"""The two passes over a tensor that is quantized by its range at run time: the range, and the integers, inside a border where there is one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.arithmetic import PORTABLE, Arithmetic, clamp, const, round_half_away, round_half_even
from nnc_tvm.schedules.operators import DynamicParameters, DynamicQuantize
from nnc_tvm.schedules.rules.rescaled import ARITHMETIC

Expr = Any
LANES = 16  # of a vector of bytes; so many float32 fill registers enough for their latency


def vectors_for(elements: int, target: Any) -> tuple[Arithmetic, int, int]:
    """(arithmetic, its float32 lanes, lanes that are taken at once) for runs of so many elements."""
    arithmetic = next((a for feature, a in ARITHMETIC.items() if feature in target.features), PORTABLE)
    native, lanes = target.vector_bytes // 4, 1 << min(LANES.bit_length(), elements.bit_length()) - 1
    return (arithmetic, native, lanes) if lanes >= native else (PORTABLE, lanes, lanes)


def each_vector(elements: int, lanes: int, body: Callable[[Expr], None]) -> None:
    """body(first element) for vectors that cover a run; the last ends where the run does and may take some elements again."""
    with T.serial(-(-elements // lanes)) as v:
        body(tirx.min(v * lanes, const(elements - lanes, "int32")) if elements % lanes else v * lanes)


def range_kernel(operator: DynamicParameters, target: Any) -> Any:
    """PrimFunc (x (rows, n), y (2, rows)): every lane keeps its own extremes, then lanes are reduced to (zero points, scales)."""
    rows = operator.rows
    n = operator.inputs[0].elements // rows
    arithmetic, native, lanes = vectors_for(n, target)
    kept = [(1, arithmetic.maximum)] if operator.nonnegative else [(0, arithmetic.minimum), (1, arithmetic.maximum)]
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_attr({"tirx.noalias": True})
        x, y = T.arg("x", T.buffer((rows, n), "float32")), T.arg("y", T.buffer((2, rows), "float32"))
        with T.sblock("range"):
            T.reads()
            T.writes()
            with T.serial(rows) as r:
                extremes = T.sblock_alloc_buffer((2, lanes), "float32", scope="local")
                with T.vectorized(lanes) as lane:
                    T.buffer_store(extremes, const(0, "float32"), [0, lane])
                with T.vectorized(lanes) as lane:
                    T.buffer_store(extremes, const(0, "float32"), [1, lane])

                def keep(first: Expr) -> None:
                    for part in range(0, lanes, native):
                        for side, more in kept:
                            with T.vectorized(native) as lane:
                                T.buffer_store(extremes, more(extremes[side, part + lane], x[r, first + part + lane]), [side, part + lane])

                each_vector(n, lanes, keep)
                width = lanes
                while width > 1:
                    width //= 2
                    for side, more in kept:
                        with T.vectorized(width) as lane:
                            T.buffer_store(extremes, more(extremes[side, lane], extremes[side, width + lane]), [side, lane])
                T.buffer_store(y, scale_of(operator, extremes[0, 0], extremes[1, 0]), [1, r])
                T.buffer_store(y, zero_point_of(operator, extremes[0, 0], y[1, r]), [0, r])
    return builder.get()


def scale_of(operator: DynamicParameters, low: Expr, high: Expr) -> Expr:
    """float32, as DynamicParameters says."""
    found = tirx.max(const(0, "float32") - low, high) / const(127, "float32") if operator.symmetric else (high - low) / const(255, "float32")
    return tirx.Select(found > const(0, "float32"), found, const(1, "float32"))


def zero_point_of(operator: DynamicParameters, low: Expr, scale: Expr) -> Expr:
    """float32, as DynamicParameters says."""
    if operator.symmetric:
        return const(0, "float32")
    below, middle = clamp(const(0, "float32") - low / scale, 0, 255, "float32"), const(128, "float32")
    return round_half_away(below - middle) if operator.half_away else round_half_even(below) - middle


def quantize_kernel(operator: DynamicQuantize, target: Any) -> Any:
    """PrimFunc (x (images, h, line), parameters (2, rows), y (elements,)): lines as long as there is no border between them."""
    shape, rows, (top, left, bottom, right) = operator.inputs[0].shape, operator.rows, operator.padding
    images, h, line, channels = rows, 1, operator.inputs[0].elements // rows, 1
    if any(operator.padding):
        images, h, channels = shape[0], shape[1], shape[3]
        line = shape[2] * channels
    elif len(shape) == 4 and math.prod(shape[2:]) % LANES == 0:  # lines that threads can share
        h, line = operator.inputs[0].elements // (rows * math.prod(shape[2:])), math.prod(shape[2:])
    row = line + (left + right) * channels
    gap, before, after = row - line, top * row + left * channels, bottom * row + right * channels
    size, each = before + h * row - gap + after, images // rows
    arithmetic, native, lanes = vectors_for(line, target)
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_attr({"tirx.noalias": True})
        x = T.arg("x", T.buffer((images, h, line), "float32"))
        p = T.arg("parameters", T.buffer((2, rows), "float32"))
        y = T.arg("y", T.buffer((images * size,), "int8"))
        with T.sblock("quantize"):
            T.reads()
            T.writes()
            with T.serial(images) as b:
                def border(start: Expr, count: int, loop: Any) -> None:
                    if count:
                        with loop(count) as e:
                            T.buffer_store(y, p[0, b // each].astype("int32").astype("int8"), [b * size + start + e])

                border(0, before, T.parallel)
                with T.parallel(h) as i:
                    wide = T.sblock_alloc_buffer((lanes,), "int16", scope="local")
                    known = T.sblock_alloc_buffer((2,), "float32", scope="local")
                    zero = T.sblock_alloc_buffer((1,), "int16", scope="local")
                    T.buffer_store(known, p[1, b // each], [0])
                    T.buffer_store(known, const(1, "float32") / known[0], [1])
                    T.buffer_store(zero, p[0, b // each].astype("int32").astype("int16"), [0])

                    def quantize(first: Expr) -> None:
                        for part in range(0, lanes, native):
                            with T.vectorized(native) as lane:
                                T.buffer_store(wide, rounded(operator, x[b, i, first + part + lane], known[0], known[1], arithmetic), [part + lane])
                        with T.vectorized(lanes) as lane:
                            T.buffer_store(y, arithmetic.moved_to_int8(wide[lane], zero[0]), [b * size + before + i * row + first + lane])

                    each_vector(line, lanes, quantize)
                    if gap and h > 1:
                        with T.If(i < h - 1), T.Then():
                            border(before + i * row + line, gap, T.serial)
                border(size - after, after, T.parallel)
    return builder.get()


def rounded(operator: DynamicQuantize, x: Expr, scale: Expr, reciprocal: Expr, arithmetic: Arithmetic) -> Expr:
    """x / scale as int16."""
    if operator.half_away:
        return arithmetic.round_away_to_int16(x * reciprocal)
    return arithmetic.round_to_int16(arithmetic.quotient(x, scale, reciprocal), fits=True)
