"""Products of a column of depthwise taps: neighbouring rows of an image are interleaved, so that one instruction sums several taps.

The interleaved vectors are the same for all outputs that read the same pixels: in an unrolled tile LLVM computes each once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tvm.s_tir import TensorIntrin
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.arithmetic import PORTABLE, Arithmetic
from nnc_tvm.schedules.intrin import avx2, avx512, neon


@dataclass(frozen=True, eq=False)
class TapProduct:
    """acc[c] += sum over e < depth of x[e, c] * w[c, e], for `lanes` neighbouring channels; e runs over image rows.

    intrinsic: name of the TensorIntrin, "" for plain vector code of depth 1. weight_low, weight_high: the weights it takes.
    x_offset: what the instruction adds to every x; the bias takes it back.
    accumulators: outputs of a tile, in vectors of `lanes`. cost: instructions that prepare a column of `depth` rows, take a product, and finish a result.
    """

    name: str
    intrinsic: str
    features: frozenset[str]
    weight_dtype: str
    lanes: int
    depth: int
    accumulators: int
    cost: tuple[float, float, float]
    weight_low: int = -(2**15)
    weight_high: int = 2**15 - 1
    x_offset: int = 0
    arithmetic: Arithmetic = field(default=PORTABLE)


def taps_function(lanes: int, depth: int, weight_dtype: str, body: Callable[[Any, Any, Any], None]) -> Any:
    """PrimFunc whose one block reads x (depth, 1, lanes), w (lanes, depth) and acc (lanes,), writes acc, and contains what `body` emits."""
    with IRBuilder() as builder:
        with T.prim_func(is_private=True):
            handles = [T.arg(name, T.handle()) for name in ("x", "w", "acc")]
            x = T.match_buffer(handles[0], (depth, 1, lanes), "int8", strides=[T.int32(), T.int32(), 1], offset_factor=1)
            w = T.match_buffer(handles[1], (lanes, depth), weight_dtype, offset_factor=1)
            acc = T.match_buffer(handles[2], (lanes,), "int32", offset_factor=1, scope="local")
            with T.sblock("root"):
                T.reads(acc[0:lanes], x[0:depth, 0, 0:lanes], w[0:lanes, 0:depth])
                T.writes(acc[0:lanes])
                body(x, w, acc)
        return builder.get()


def description(lanes: int, depth: int, weight_dtype: str) -> Any:
    """The scalar meaning of an integer TapProduct."""

    def body(x: Any, w: Any, acc: Any) -> None:
        with T.grid(lanes, depth) as (c, e), T.sblock("update"):
            channel, row = T.axis.spatial(lanes, c), T.axis.reduce(depth, e)
            T.reads(acc[channel], x[row, 0, channel], w[channel, row])
            T.writes(acc[channel])
            T.buffer_store(acc, acc[channel] + T.Cast("int32", x[row, 0, channel]) * T.Cast("int32", w[channel, row]), [channel])

    return taps_function(lanes, depth, weight_dtype, body)


PAIRS = [8 * e + c for c in range(8) for e in (0, 1)]


def pmaddwd_pairs(x: Any, w: Any, acc: Any) -> None:
    """Two rows of 8 channels, a channel's two bytes side by side."""
    pairs = T.Cast("int16x16", T.Shuffle([x.vload([e, 0, 0], "int8x8") for e in (0, 1)], PAIRS))
    lanes = T.ramp(0, 1, 8)
    T.buffer_store(acc, acc[lanes] + T.call_llvm_pure_intrin("int32x8", "llvm.x86.avx2.pmadd.wd", pairs, w.vload([0, 0], "int16x16")), [lanes])


QUADS = [16 * e + c for c in range(16) for e in range(4)]


def unsigned_columns(rows: list[Any]) -> Any:
    """The bytes x + 128 of four rows of 16 channels, each channel's together; adding 128 inverts the highest bit."""
    halves = [T.Shuffle(rows[half : half + 2], list(range(32))) for half in (0, 2)]
    columns = T.reinterpret(T.Shuffle(halves, QUADS), dtype="int32x16")
    return T.reinterpret(columns ^ T.broadcast(T.int32(-0x7F7F7F80), 16), dtype="int8x64")


def vpdpbusd_columns(x: Any, w: Any, acc: Any) -> None:
    """Four rows of 16 channels."""
    columns, lanes = unsigned_columns([x.vload([e, 0, 0], "int8x16") for e in range(4)]), T.ramp(0, 1, 16)
    T.buffer_store(acc, T.call_llvm_pure_intrin("int32x16", "llvm.x86.avx512.vpdpbusd.512", acc[lanes], columns, w.vload([0, 0], "int8x64")), [lanes])


def zip_vectors(a: Any, b: Any, half: int, group: int) -> Any:
    """zip1 (half 0) or zip2 of two int8x16 in units of `group` bytes."""
    return T.Shuffle([a, b], [16 * which + 8 * half + group * i + k for i in range(8 // group) for which in (0, 1) for k in range(group)])


def sdot_columns(x: Any, w: Any, acc: Any) -> None:
    """Four rows of 16 channels: their bytes, interleaved by one and then by pairs, are four channels' columns."""
    rows = [x.vload([e, 0, 0], "int8x16") for e in range(4)]
    for quarter in range(4):
        first, second = (zip_vectors(rows[e], rows[e + 1], quarter // 2, 1) for e in (0, 2))
        columns, lanes = zip_vectors(first, second, quarter % 2, 2), T.ramp(4 * quarter, 1, 4)
        T.buffer_store(acc, T.call_llvm_pure_intrin("int32x4", "llvm.aarch64.neon.sdot", acc[lanes], columns, w.vload([4 * quarter, 0], "int8x16")), [lanes])


for name, (lanes, depth, weight_dtype), body in (
    ("avx2_pmaddwd_taps", (8, 2, "int16"), pmaddwd_pairs),
    ("avx512_vpdpbusd_taps", (16, 4, "int8"), vpdpbusd_columns),
    ("neon_sdot_taps", (16, 4, "int8"), sdot_columns),
):
    TensorIntrin.register(name, description(lanes, depth, weight_dtype), taps_function(lanes, depth, weight_dtype, body))

AVX512_QUADS = TapProduct("vpdpbusd", "avx512_vpdpbusd_taps", avx512.VNNI, "int8", lanes=16, depth=4, accumulators=16, cost=(6, 1, 6),
                          weight_low=-128, weight_high=127, x_offset=128, arithmetic=avx512.ARITHMETIC)
AVX2_PAIRS = TapProduct("pmaddwd", "avx2_pmaddwd_taps", frozenset({"avx2"}), "int16", lanes=8, depth=2, accumulators=16, cost=(3, 2, 6),
                        arithmetic=avx2.ARITHMETIC)
NEON_SDOT = TapProduct("sdot", "neon_sdot_taps", frozenset({"neon", "dotprod"}), "int8", lanes=16, depth=4, accumulators=4, cost=(12, 4, 20),
                       weight_low=-128, weight_high=127, arithmetic=neon.ARITHMETIC)
NEON_SMLAL = TapProduct("smlal", "", frozenset({"neon"}), "int16", lanes=8, depth=1, accumulators=8, cost=(2, 2, 10), arithmetic=neon.ARITHMETIC)
AVX2_WIDENED = TapProduct("widened", "", frozenset({"avx2"}), "int16", lanes=8, depth=1, accumulators=8, cost=(1, 2, 6),
                          arithmetic=avx2.ARITHMETIC)
AVX2_FMA = TapProduct("fma", "", frozenset({"fma"}), "float32", lanes=8, depth=1, accumulators=8, cost=(0, 1, 3))
NEON_FMLA = TapProduct("fmla", "", frozenset({"neon"}), "float32", lanes=4, depth=1, accumulators=16, cost=(1, 1, 3))
LOOPS = TapProduct("loops", "", frozenset({"portable"}), "int16", lanes=8, depth=1, accumulators=4, cost=(1, 2, 10))
LOOPS_FLOAT = TapProduct("loops", "", frozenset({"portable"}), "float32", lanes=8, depth=1, accumulators=4, cost=(1, 1, 3))

INTEGER = (AVX512_QUADS, AVX2_PAIRS, NEON_SDOT, NEON_SMLAL, AVX2_WIDENED, LOOPS)
FLOAT = (AVX2_FMA, NEON_FMLA, LOOPS_FLOAT)
