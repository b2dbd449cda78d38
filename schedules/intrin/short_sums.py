"""Products of small weights, summed in int16 over several steps before they are widened: fewer instructions than int32 sums take.

The equation of `intrin.tile` with other accumulators: part[p, o / L, o % L * 2 + h] holds one of the two halves of a channel's sum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.intrin import avx2, neon
from nnc_tvm.schedules.intrin.neon import pick
from nnc_tvm.schedules.isa import DotProduct, Tile

PRODUCTS = 2  # that every int16 lane takes up in one depth


@dataclass(frozen=True, eq=False, kw_only=True)
class ShortDotProduct(DotProduct):
    """A DotProduct whose `emit` sums into int16 (pixels, vectors, 2 * lanes).

    x_largest: magnitude of x. widen: (part, total) adds the two halves of every channel to the int32 total. widen_cost: its instructions.
    """

    x_largest: int
    widen: Callable[[Any, Any], Any]
    widen_cost: float

    def chain(self, largest_weight: int) -> int:
        """How many depths int16 holds the sum of."""
        return (2**15 - 1) // (PRODUCTS * self.x_largest * max(largest_weight, 1))


def emit_smlal(tile: Tile, x: Any, w: Any, part: Any) -> None:
    """Armv8.0: int8 products added to int16 lanes, a channel's first two and last two of four each in one."""
    for u, v, p in product(range(tile.steps), range(tile.vectors), range(tile.pixels)):
        pairs = T.reinterpret(x.vload([p * tile.stride], f"int8x{4 * tile.steps}"), dtype=f"int16x{2 * tile.steps}")
        four = T.reinterpret(pick(pairs, 2 * tile.steps, [2 * u] * 4 + [2 * u + 1] * 4), dtype="int8x16")
        total = part.vload([p, v, 0], "int16x8")
        for half in (T.vectorlow, T.vectorhigh):
            weights = half("int8x8", w.vload([u, v, 0, 0, 0], "int8x16"))
            total = total + T.call_llvm_pure_intrin("llvm.aarch64.neon.smull", half("int8x8", four), weights, dtype="int16x8")
        T.buffer_store(part, total, [p, v, T.ramp(0, 1, 8)])


def emit_pmaddubsw(tile: Tile, x: Any, w: Any, part: Any) -> None:
    """AVX2: pairs of products of unsigned x and signed weights."""
    for u, p in product(range(tile.steps), range(tile.pixels)):
        four = T.broadcast(T.reinterpret(x.vload([p * tile.stride + u * 4], "uint8x4"), dtype="int32"), 8)
        for v in range(tile.vectors):
            pairs = T.call_llvm_pure_intrin("llvm.x86.avx2.pmadd.ub.sw", T.reinterpret(four, dtype="int8x32"), w.vload([u, v, 0, 0, 0], "int8x32"),
                                            dtype="int16x16")
            T.buffer_store(part, part.vload([p, v, 0], "int16x16") + pairs, [p, v, T.ramp(0, 1, 16)])


def widen_neon(part: Any, total: Any) -> Any:
    return total + T.call_llvm_pure_intrin("llvm.aarch64.neon.saddlp", part, dtype="int32x4")


def widen_avx2(part: Any, total: Any) -> Any:
    return total + T.call_llvm_pure_intrin("llvm.x86.avx2.pmadd.wd", part, T.broadcast(T.int16(1), 16), dtype="int32x8")


SMLAL_SHORT = ShortDotProduct(
    "smlal_short", frozenset({"neon"}), "int8", "int8", "int32", lanes=4, depth=4, group=2, tiles={1: 12, 2: 10, 3: 6, 4: 5, 5: 4, 6: 3, 8: 2},
    cost=(2, 1.25, 1), emit=emit_smlal, steps=(4, 2, 1), short=4, weight_low=-8, weight_high=7, arithmetic=neon.ARITHMETIC, x_largest=128, widen=widen_neon,
    widen_cost=1, stores=neon.STORES, a_tile=neon.A_TILE)
PMADDUBSW = ShortDotProduct(
    "pmaddubsw", frozenset({"avx2"}), "uint8", "int8", "int32", lanes=8, depth=4, tiles=avx2.TILES, cost=(2, 1, 1), emit=emit_pmaddubsw, weight_low=-8,
    weight_high=7, x_offset=128, arithmetic=avx2.ARITHMETIC, x_largest=255, widen=widen_avx2, widen_cost=2)

SHORT = (PMADDUBSW, SMLAL_SHORT)
