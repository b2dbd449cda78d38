"""AVX-512 with VNNI: four int8 or two int16 products of every lane are summed by one instruction."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.arithmetic import Arithmetic, Expr, SaturatingArithmetic, clamp
from nnc_tvm.schedules.isa import DotProduct, Tile


class Avx512Arithmetic(SaturatingArithmetic):
    """Any number of lanes: LLVM rounds in vectors of its own choice."""

    shortest = 8
    narrows_int32 = True

    def to_int8(self, value: Expr, zero_point: int, low: int, high: int) -> Expr:
        # of a single saturating sum LLVM 22 stores two bytes (vpextrw) where one is asked for
        if (zero_point, low, high) == (-128, -128, 127):
            return super().to_int8(value, zero_point, low, high)
        return Arithmetic.to_int8(self, value, zero_point, low, high)

    def round_to_int16(self, value: Expr, fits: bool = False) -> Expr:
        # too large a value would become -2^31; too small a one does, and saturates as it should
        bounded = value if fits else clamp(value, -math.inf, 2**15 - 1, "float32")
        return self.to_int16(tirx.call_llvm_pure_intrin("int32", "llvm.lrint", bounded))


def emit_vpdpbusd(tile: Tile, x: Any, w: Any, acc: Any) -> None:
    """Four products of unsigned x, or x + 128 of signed ones, and signed weights; adding 128 inverts the highest bit."""
    for u, p in product(range(tile.steps), range(tile.pixels)):
        four = T.reinterpret(x.vload([p * tile.stride + u * 4], f"{x.dtype}x4"), dtype="int32")
        unsigned = T.broadcast(four if x.dtype == "uint8" else four ^ tirx.const(-0x7F7F7F80, "int32"), 16)
        for v in range(tile.vectors):
            total = T.call_llvm_pure_intrin("llvm.x86.avx512.vpdpbusd.512", acc.vload([p, v, 0], "int32x16"), T.reinterpret(unsigned, dtype="int8x64"),
                                            w.vload([u, v, 0, 0, 0], "int8x64"), dtype="int32x16")
            T.buffer_store(acc, total, [p, v, T.ramp(0, 1, 16)])


def emit_vpdpwssd(tile: Tile, x: Any, w: Any, acc: Any) -> None:
    """Pairs of int16 products."""
    for u, p, v in product(range(tile.steps), range(tile.pixels), range(tile.vectors)):
        pair = T.broadcast(T.reinterpret(x.vload([p * tile.stride + u * 2], "int16x2"), dtype="int32"), 16)
        total = T.call_llvm_pure_intrin("llvm.x86.avx512.vpdpwssd.512", acc.vload([p, v, 0], "int32x16"), T.reinterpret(pair, dtype="int16x32"),
                                        w.vload([u, v, 0, 0, 0], "int16x32"), dtype="int32x16")
        T.buffer_store(acc, total, [p, v, T.ramp(0, 1, 16)])


def emit_vpdpbusd_pixels(tile: Tile, x: Any, w: Any, acc: Any) -> None:
    """As vpdpbusd with the parts changed: x are four signed weights, w vectors of pixels, unsigned."""
    four = T.reinterpret(T.broadcast(T.reinterpret(x.vload([0], "int8x4"), dtype="int32"), 16), dtype="int8x64")
    for v in range(tile.vectors):
        total = T.call_llvm_pure_intrin("llvm.x86.avx512.vpdpbusd.512", acc.vload([0, v, 0], "int32x16"), w.vload([0, v, 0, 0, 0], "int8x64"), four,
                                        dtype="int32x16")
        T.buffer_store(acc, total, [0, v, T.ramp(0, 1, 16)])


ARITHMETIC = Avx512Arithmetic()
VNNI = frozenset({"avx512bw", "avx512vl", "avx512vnni"})
TILES = {1: 14, 2: 13, 3: 8, 4: 6, 6: 4}  # of 32 registers

VPDPBUSD = DotProduct(
    "vpdpbusd", VNNI, "int8", "int8", "int32", lanes=16, depth=4, tiles=TILES, cost=(2, 0.9, 0.2), emit=emit_vpdpbusd, beside=1 / 3, unrolled=150,
    weight_low=-128, weight_high=127, x_offset=128, arithmetic=ARITHMETIC)
VPDPBUSD_UNSIGNED = replace(VPDPBUSD, x_dtype="uint8", cost=(2, 0.35, 0.2))
"""Of a copy of the image that holds x + 128: its four bytes reach all lanes as they are loaded."""
VPDPWSSD = DotProduct(
    "vpdpwssd", VNNI, "int16", "int16", "int32", lanes=16, depth=2, tiles=TILES, cost=(2, 0.35, 0.2), emit=emit_vpdpwssd, beside=1 / 3,
    reads=True, weight_low=-(2**15), weight_high=2**15 - 1, arithmetic=ARITHMETIC)
VPDPBUSD_PIXELS = DotProduct(
    "vpdpbusd", VNNI, "int8", "int8", "int32", lanes=16, depth=4, tiles={v: 1 for v in (2, 4, 6, 8, 12)}, cost=(1, 0.5, 1.1), emit=emit_vpdpbusd_pixels,
    weight_low=-128, weight_high=127, x_offset=128, arithmetic=ARITHMETIC)

INTEGER = (VPDPBUSD, VPDPBUSD_UNSIGNED, VPDPWSSD)
PIXELS = (VPDPBUSD_PIXELS,)
