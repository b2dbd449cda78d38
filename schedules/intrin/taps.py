"""Products of a column of depthwise taps: neighbouring rows of an image are interleaved, so that one instruction sums several taps.

The interleaved vectors are the same for all outputs that read the same pixels: in an unrolled tile LLVM computes each once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T

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


def description(lanes: int, depth: int, weight_dtype: str) -> Any:
    """The scalar meaning of an integer TapProduct."""

    @T.prim_func(s_tir=True)
    def taps(x: T.handle, w: T.handle, acc: T.handle) -> None:
        row, column = T.int32(), T.int32()
        X = T.match_buffer(x, (depth, 1, lanes), "int8", strides=[row, column, 1], offset_factor=1)
        W = T.match_buffer(w, (lanes, depth), weight_dtype, offset_factor=1)
        A = T.match_buffer(acc, (lanes,), "int32", offset_factor=1, scope="local")
        with T.sblock("root"):
            T.reads(A[0:lanes], X[0:depth, 0, 0:lanes], W[0:lanes, 0:depth])
            T.writes(A[0:lanes])
            for c in range(lanes):
                for e in range(depth):
                    with T.sblock("update"):
                        vc, ve = T.axis.remap("SR", [c, e])
                        A[vc] = A[vc] + T.Cast("int32", X[ve, 0, vc]) * T.Cast("int32", W[vc, ve])

    return taps


PAIRS = [8 * e + c for c in range(8) for e in (0, 1)]


@T.prim_func(s_tir=True)
def pmaddwd_pairs(x: T.handle, w: T.handle, acc: T.handle) -> None:
    row, column = T.int32(), T.int32()
    X = T.match_buffer(x, (2, 1, 8), "int8", strides=[row, column, 1], offset_factor=1)
    W = T.match_buffer(w, (8, 2), "int16", offset_factor=1)
    A = T.match_buffer(acc, (8,), "int32", offset_factor=1, scope="local")
    with T.sblock("root"):
        T.reads(A[0:8], X[0:2, 0, 0:8], W[0:8, 0:2])
        T.writes(A[0:8])
        A[T.ramp(0, 1, 8)] = A[T.ramp(0, 1, 8)] + T.call_llvm_pure_intrin(
            "int32x8", "llvm.x86.avx2.pmadd.wd",
            T.Cast("int16x16", T.Shuffle([X.vload([0, 0, 0], "int8x8"), X.vload([1, 0, 0], "int8x8")], PAIRS)), W.vload([0, 0], "int16x16"))


QUADS = [16 * e + c for c in range(16) for e in range(4)]


def unsigned_columns(rows: list[Any]) -> Any:
    """The bytes x + 128 of four rows of 16 channels, each channel's together; adding 128 inverts the highest bit."""
    halves = [T.Shuffle(rows[half : half + 2], list(range(32))) for half in (0, 2)]
    columns = T.reinterpret(T.Shuffle(halves, QUADS), dtype="int32x16")
    return T.reinterpret(columns ^ T.broadcast(T.int32(-0x7F7F7F80), 16), dtype="int8x64")


@T.prim_func(s_tir=True)
def vpdpbusd_columns(x: T.handle, w: T.handle, acc: T.handle) -> None:
    row, column = T.int32(), T.int32()
    X = T.match_buffer(x, (4, 1, 16), "int8", strides=[row, column, 1], offset_factor=1)
    W = T.match_buffer(w, (16, 4), "int8", offset_factor=1)
    A = T.match_buffer(acc, (16,), "int32", offset_factor=1, scope="local")
    with T.sblock("root"):
        T.reads(A[0:16], X[0:4, 0, 0:16], W[0:16, 0:4])
        T.writes(A[0:16])
        A[T.ramp(0, 1, 16)] = T.call_llvm_pure_intrin(
            "int32x16", "llvm.x86.avx512.vpdpbusd.512", A[T.ramp(0, 1, 16)], unsigned_columns([X.vload([e, 0, 0], "int8x16") for e in range(4)]),
            W.vload([0, 0], "int8x64"))


def zip_vectors(a: Any, b: Any, half: int, group: int) -> Any:
    """zip1 (half 0) or zip2 of two int8x16 in units of `group` bytes."""
    return T.Shuffle([a, b], [16 * which + 8 * half + group * i + k for i in range(8 // group) for which in (0, 1) for k in range(group)])


def sdot_quarter(x: Any, w: Any, acc: Any, quarter: int) -> Any:
    """The sums of channels 4 * quarter to 4 * quarter + 3: four rows' bytes, interleaved by one and then by pairs, are four channels' columns."""
    rows = [x.vload([e, 0, 0], "int8x16") for e in range(4)]
    first, second = (zip_vectors(rows[e], rows[e + 1], quarter // 2, 1) for e in (0, 2))
    return T.call_llvm_pure_intrin("int32x4", "llvm.aarch64.neon.sdot", acc[T.ramp(4 * quarter, 1, 4)], zip_vectors(first, second, quarter % 2, 2),
                                   w.vload([4 * quarter, 0], "int8x16"))


@T.prim_func(s_tir=True)
def sdot_columns(x: T.handle, w: T.handle, acc: T.handle) -> None:
    row, column = T.int32(), T.int32()
    X = T.match_buffer(x, (4, 1, 16), "int8", strides=[row, column, 1], offset_factor=1)
    W = T.match_buffer(w, (16, 4), "int8", offset_factor=1)
    A = T.match_buffer(acc, (16,), "int32", offset_factor=1, scope="local")
    with T.sblock("root"):
        T.reads(A[0:16], X[0:4, 0, 0:16], W[0:16, 0:4])
        T.writes(A[0:16])
        A[T.ramp(0, 1, 4)] = sdot_quarter(X, W, A, 0)
        A[T.ramp(4, 1, 4)] = sdot_quarter(X, W, A, 1)
        A[T.ramp(8, 1, 4)] = sdot_quarter(X, W, A, 2)
        A[T.ramp(12, 1, 4)] = sdot_quarter(X, W, A, 3)


TensorIntrin.register("avx2_pmaddwd_taps", description(8, 2, "int16"), pmaddwd_pairs)
TensorIntrin.register("avx512_vpdpbusd_taps", description(16, 4, "int8"), vpdpbusd_columns)
TensorIntrin.register("neon_sdot_taps", description(16, 4, "int8"), sdot_columns)

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
