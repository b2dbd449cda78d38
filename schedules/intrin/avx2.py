"""AVX2 and FMA: the instructions of a contraction's step."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.arithmetic import Expr, SaturatingArithmetic, clamp, const
from nnc_tvm.schedules.isa import DotProduct, Tile
from nnc_tvm.schedules.modular import Modular


class Avx2Arithmetic(SaturatingArithmetic):
    """Eight lanes at a time."""

    high_multiply_is_slow = True

    def round_to_int16(self, value: Expr, fits: bool = False) -> Expr:
        # too large a value would become -2^31; too small a one does, and saturates as it should
        bounded = value if fits else clamp(value, -math.inf, 2**15 - 1, "float32")
        return self.to_int16(tirx.call_llvm_pure_intrin("int32", "llvm.x86.avx.cvt.ps2dq.256", bounded))

    def round_away_to_int16(self, value: Expr) -> Expr:
        # the bound keeps LLVM from adding to a product before that is rounded
        value = clamp(value, -(2**15), math.inf, "float32")
        # the largest float32 below a half, not a half: its sum with the value is rounded, too
        half = tirx.call_llvm_pure_intrin("float32", "llvm.copysign", const(0.5 - 2.0**-25, "float32"), value)
        return self.to_int16((value + half).astype("int32"))


def emit_pmaddwd(tile: Tile, x: Any, w: Any, acc: Any) -> None:
    """Pairs of int16 products; int8 weights are widened on their way into registers."""
    for u, p, v in product(range(tile.steps), range(tile.pixels), range(tile.vectors)):
        pair = T.reinterpret(x.vload([p * tile.stride + u * 2], "int16x2"), dtype="int32")
        weights = T.Cast("int16x16", w.vload([u, v, 0, 0, 0], f"{w.dtype}x16"))
        pairs = T.reinterpret(T.broadcast(pair, 8), dtype="int16x16")
        total = Modular(acc.vload([p, v, 0], "int32x8")) + Modular(T.call_llvm_pure_intrin("llvm.x86.avx2.pmadd.wd", weights, pairs, dtype="int32x8"))
        T.buffer_store(acc, total.value, [p, v, T.ramp(0, 1, 8)])


def emit_fma(tile: Tile, x: Any, w: Any, acc: Any) -> None:
    """Products and sums that LLVM contracts to fused multiply-adds."""
    for u, p, v in product(range(tile.steps), range(tile.pixels), range(tile.vectors)):
        total = acc.vload([p, v, 0], "float32x8") + w.vload([u, v, 0, 0, 0], "float32x8") * T.broadcast(x[p * tile.stride + u], 8)
        T.buffer_store(acc, total, [p, v, T.ramp(0, 1, 8)])


ARITHMETIC = Avx2Arithmetic()
TILES = {1: 12, 2: 6, 3: 3, 4: 2, 6: 1, 8: 1}  # of 16 registers

PMADDWD = DotProduct(
    "pmaddwd", frozenset({"avx2"}), "int16", "int8", "int32", lanes=8, depth=2, tiles=TILES, cost=(2, 1, 1), emit=emit_pmaddwd, unrolled=60,
    weight_low=-128, weight_high=127, arithmetic=ARITHMETIC)
PMADDWD_16 = DotProduct(
    "pmaddwd_16", frozenset({"avx2"}), "int16", "int16", "int32", lanes=8, depth=2, tiles=TILES, cost=(2, 1, 1.1), emit=emit_pmaddwd, weight_low=-(2**15),
    weight_high=2**15 - 1, arithmetic=ARITHMETIC)
FMA = DotProduct(
    "fma", frozenset({"avx2", "fma"}), "float32", "float32", "float32", lanes=8, depth=1, tiles={**TILES, 3: 4}, cost=(1, 1, 1), emit=emit_fma,
    arithmetic=ARITHMETIC)

INTEGER = (PMADDWD, PMADDWD_16)
FLOAT = (FMA,)
