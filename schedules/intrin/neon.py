"""NEON, Armv8.0 to i8mm: the instructions of a contraction's step and of requantization."""

from __future__ import annotations

from itertools import product
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.arithmetic import Expr, SaturatingArithmetic, const
from nnc_tvm.schedules.isa import DotProduct, Tile
from nnc_tvm.schedules.modular import Modular


def neon(name: str, dtype: str, *operands: Expr) -> Expr:
    return tirx.call_llvm_pure_intrin(dtype, "llvm.aarch64.neon." + name, *operands)


class NeonArithmetic(SaturatingArithmetic):
    """Source of the sequence: gemmlowp's fixedpoint_neon.h."""

    def high_multiply(self, a: Expr, b: Expr) -> Expr:
        return neon("sqrdmulh", "int32", a, b)

    def rounding_shift(self, value: Expr, shift: Expr) -> Expr:
        # one is taken from negative values first, unless nothing is shifted out
        return self.shift_halves_up(value + ((value & shift) >> tirx.const(31, "int32")), shift)

    def shift_halves_up(self, value: Expr, shift: Expr) -> Expr:
        return neon("srshl", "int32", value, shift)

    def to_int16(self, value: Expr) -> Expr:
        return neon("sqxtn", "int16", value)

    def round_to_int16(self, value: Expr, fits: bool = False) -> Expr:
        return neon("sqxtn", "int16", neon("fcvtns", "int32", value))

    def round_away_to_int16(self, value: Expr) -> Expr:
        return neon("sqxtn", "int16", neon("fcvtas", "int32", value))

    def maximum(self, a: Expr, b: Expr) -> Expr:
        # LLVM makes a comparison and a selection of a maximum that is written as these are
        return tirx.call_llvm_pure_intrin("float32", "llvm.maximum", a, b)

    def minimum(self, a: Expr, b: Expr) -> Expr:
        return tirx.call_llvm_pure_intrin("float32", "llvm.minimum", a, b)

    def quotient(self, value: Expr, divisor: Expr, reciprocal: Expr) -> Expr:
        # divisions take as long as all else. Markstein: what is left over, which a fused multiply-add has exactly, corrects the product with the
        # reciprocal to the rounded quotient; quotients too small for that are 0 to all who round them
        product = value * reciprocal
        left = tirx.call_llvm_pure_intrin("float32", "llvm.fma", product, const(0, "float32") - divisor, value)
        return tirx.call_llvm_pure_intrin("float32", "llvm.fma", left, reciprocal, product)


def pick(vector: Any, source_lanes: int, lanes: list[int]) -> Any:
    """A vector of the given lanes of `vector`: LLVM folds a single one into instructions that take an operand by element."""
    return T.Shuffle([vector] * -(-len(lanes) // source_lanes), lanes)  # a shuffle takes no more lanes than its inputs have


def emit_sdot(tile: Tile, x: Any, w: Any, acc: Any) -> None:
    """Four channels' products of four elements, by element."""
    for u, v, p in product(range(tile.steps), range(tile.vectors), range(tile.pixels)):
        words = T.reinterpret(x.vload([p * tile.stride], f"int8x{4 * tile.steps}"), dtype="int32" if tile.steps == 1 else f"int32x{tile.steps}")
        four = T.broadcast(words, 4) if tile.steps == 1 else pick(words, tile.steps, [u] * 4)
        total = T.call_llvm_pure_intrin("llvm.aarch64.neon.sdot", acc.vload([p, v, 0], "int32x4"), w.vload([u, v, 0, 0, 0], "int8x16"),
                                        T.reinterpret(four, dtype="int8x16"), dtype="int32x4")
        T.buffer_store(acc, total, [p, v, T.ramp(0, 1, 4)])


def emit_smlal(tile: Tile, x: Any, w: Any, acc: Any) -> None:
    """Armv8.0: products of pairs meet in an int16 lane before the widening add; weights of -127 and more keep it within 2 * 127 * 128 < 2^15,
    and so does one of -128: pairs are two elements apart."""
    for u, p, v in product(range(tile.steps), range(tile.pixels), range(tile.vectors)):
        pairs = T.reinterpret(x.vload([p * tile.stride], f"int8x{4 * tile.steps}"), dtype=f"int16x{2 * tile.steps}")
        four = T.reinterpret(pick(pairs, 2 * tile.steps, [2 * u] * 4 + [2 * u + 1] * 4), dtype="int8x16")
        weights = w.vload([u, v, 0, 0, 0], "int8x16")
        low, high = [T.call_llvm_pure_intrin("llvm.aarch64.neon.smull", half("int8x8", four), half("int8x8", weights), dtype="int16x8")
                     for half in (T.vectorlow, T.vectorhigh)]
        total = acc.vload([p, v, 0], "int32x4") + T.call_llvm_pure_intrin("llvm.aarch64.neon.saddlp", low + high, dtype="int32x4")
        T.buffer_store(acc, total, [p, v, T.ramp(0, 1, 4)])


def emit_smlal_16(tile: Tile, x: Any, w: Any, acc: Any) -> None:
    """Armv8.0: int16 by element into int32, exact for all weights."""
    for u, v, p in product(range(tile.steps), range(tile.vectors), range(tile.pixels)):
        values = x.vload([p * tile.stride], f"int16x{tile.steps}") if tile.steps > 1 else x[p * tile.stride]
        four = pick(values, tile.steps, [u] * 4) if tile.steps > 1 else T.broadcast(values, 4)
        product4 = T.call_llvm_pure_intrin("llvm.aarch64.neon.smull", w.vload([u, v, 0, 0, 0], "int16x4"), four, dtype="int32x4")
        T.buffer_store(acc, (Modular(acc.vload([p, v, 0], "int32x4")) + Modular(product4)).value, [p, v, T.ramp(0, 1, 4)])


def emit_smmla(tile: Tile, x: Any, w: Any, acc: Any) -> None:
    """i8mm: two pixels by two channels by eight elements."""
    for u, v, p in product(range(tile.steps), range(tile.vectors), range(tile.pixels // 2)):
        rows = [T.reinterpret(x.vload([(2 * p + k) * tile.stride], f"int8x{8 * tile.steps}"), dtype="int64" if tile.steps == 1 else "int64x2") for k in (0, 1)]
        pixels = T.reinterpret(T.Shuffle(rows, [u, tile.steps + u]), dtype="int8x16")
        total = T.call_llvm_pure_intrin("llvm.aarch64.neon.smmla", acc.vload([p, v, 0], "int32x4"), pixels, w.vload([u, v, 0, 0, 0], "int8x16"),
                                        dtype="int32x4")
        T.buffer_store(acc, total, [p, v, T.ramp(0, 1, 4)])


def emit_fmla(tile: Tile, x: Any, w: Any, acc: Any) -> None:
    """Multiply-add by element; LLVM contracts the product and the sum."""
    for u, v, p in product(range(tile.steps), range(tile.vectors), range(tile.pixels)):
        values = x.vload([p * tile.stride], f"float32x{tile.steps}") if tile.steps > 1 else x[p * tile.stride]
        four = pick(values, tile.steps, [u] * 4) if tile.steps > 1 else T.broadcast(values, 4)
        T.buffer_store(acc, acc.vload([p, v, 0], "float32x4") + w.vload([u, v, 0, 0, 0], "float32x4") * four, [p, v, T.ramp(0, 1, 4)])


ARITHMETIC = NeonArithmetic()
STORES = {1: 14.0, 2: 12.0, 4: 9.0, 8: 6.5, 16: 6.0}  # as counted: eight channels are narrowed at once, and stored with eight others
A_TILE = 0.0  # these costs fit counted instructions; those of x86 fit times, where a tile also waits for its first loads
TILES = {1: 14, 2: 10, 3: 7, 4: 6, 5: 5, 6: 4, 8: 2}  # of 32 registers

SMMLA = DotProduct(
    "smmla", frozenset({"i8mm"}), "int8", "int8", "int32", lanes=2, depth=8, rows=2, tiles={2: 10, 4: 8, 6: 6, 8: 6, 10: 4, 12: 2}, cost=(1, 1.1, 0.55),
    emit=emit_smmla, steps=(2, 1), short=4, weight_low=-128, weight_high=127, arithmetic=ARITHMETIC, stores=STORES, a_tile=A_TILE)
SDOT = DotProduct(
    "sdot", frozenset({"dotprod"}), "int8", "int8", "int32", lanes=4, depth=4, tiles=TILES, cost=(1, 0.3, 0.55), emit=emit_sdot, steps=(4, 2, 1),
    weight_low=-128, weight_high=127, arithmetic=ARITHMETIC, stores=STORES, a_tile=A_TILE)
SMLAL = DotProduct(
    "smlal", frozenset({"neon"}), "int8", "int8", "int32", lanes=4, depth=4, group=2, tiles={1: 10, 2: 6, 3: 5, 4: 4, 5: 3, 6: 2, 8: 1}, cost=(3, 1.25, 1),
    emit=emit_smlal, steps=(4, 2, 1), short=4, weight_low=-127, weight_high=127, apart=2, arithmetic=ARITHMETIC, stores=STORES, a_tile=A_TILE)
SMLAL_16 = DotProduct(
    "smlal_16", frozenset({"neon"}), "int16", "int16", "int32", lanes=4, depth=1, tiles=TILES, cost=(1, 0.2, 0.6), emit=emit_smlal_16, steps=(8, 4, 2, 1),
    weight_low=-(2**15), weight_high=2**15 - 1, arithmetic=ARITHMETIC, stores=STORES, a_tile=A_TILE)
FMLA = DotProduct(
    "fmla", frozenset({"neon"}), "float32", "float32", "float32", lanes=4, depth=1, tiles=TILES, cost=(1, 0.25, 1), emit=emit_fmla, steps=(4, 2, 1),
    arithmetic=ARITHMETIC)

INTEGER = (SMMLA, SDOT, SMLAL, SMLAL_16)
FLOAT = (FMLA,)
