"""Products of inputs that every lane picks for itself from one window of neighbours: how CPUs take weights of which few in a window are not zero.

acc[p, o] += sum over t < taps of x[p * stride + place[o, t]] * w[o, t]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.intrin import avx2, avx512, neon
from nnc_tvm.schedules.isa import DotProduct, Tile
from nnc_tvm.schedules.modular import Modular


class Picks(Protocol):
    """Of vector v of a tile's channels: places, as `WindowProduct.widen` makes them, and values, int8."""

    def places(self, v: int) -> Any: ...
    def values(self, v: int) -> Any: ...


@dataclass(frozen=True, eq=False, kw_only=True)
class WindowProduct(DotProduct):
    """A DotProduct whose depth is a window's elements, of which each lane takes `taps`. `emit` takes Picks for w; a tile's steps are 1.

    widen: places, one byte a tap, as the instruction wants them. widen_cost: its instructions. unpack_cost: of a vector of N:M's places, estimated.
    """

    taps: int
    widen: Callable[[Any], Any]
    widen_cost: float
    unpack_cost: float


def emit_vpshufb_vpdpbusd(tile: Tile, x: Any, w: Picks, acc: Any) -> None:
    """Four bytes of sixteen."""
    emit_vpdpbusd(tile, x, w, acc, "llvm.x86.avx512.pshuf.b.512", lambda start: repeated(x.vload([start], f"{x.dtype}x16"), 4))


def emit_vpermb_vpdpbusd(tile: Tile, x: Any, w: Picks, acc: Any) -> None:
    """Four bytes of sixty-four."""
    emit_vpdpbusd(tile, x, w, acc, "llvm.x86.avx512.permvar.qi.512", lambda start: x.vload([start], f"{x.dtype}x64"))


def emit_vpdpbusd(tile: Tile, x: Any, w: Picks, acc: Any, shuffle: str, window_at: Callable[[Any], Any]) -> None:
    """Four bytes, picked by `shuffle`, of 64 bytes that `window_at` gives; adding 128 to signed ones inverts the highest bit."""
    picks = [(v, w.places(v), w.values(v)) for v in range(tile.vectors)]
    for p in range(tile.pixels):
        window = window_at(p * tile.stride)
        if x.dtype == "int8":
            window = T.reinterpret(window, dtype="int32x16") ^ T.broadcast(tirx.const(-0x7F7F7F80, "int32"), 16)
        for v, places, values in picks:
            picked = T.call_llvm_pure_intrin(shuffle, T.reinterpret(window, dtype="int8x64"), places, dtype="int8x64")
            total = T.call_llvm_pure_intrin("llvm.x86.avx512.vpdpbusd.512", acc.vload([p, v, 0], "int32x16"), picked, values, dtype="int32x16")
            T.buffer_store(acc, total, [p, v, T.ramp(0, 1, 16)])


def emit_pshufb_pmaddwd(tile: Tile, x: Any, w: Picks, acc: Any) -> None:
    """Two int16 of eight."""
    picks = [(v, w.places(v), T.Cast("int16x16", w.values(v))) for v in range(tile.vectors)]
    for p in range(tile.pixels):
        window = T.reinterpret(repeated(x.vload([p * tile.stride], "int16x8"), 2), dtype="int8x32")
        for v, places, values in picks:
            picked = T.reinterpret(T.call_llvm_pure_intrin("llvm.x86.avx2.pshuf.b", window, places, dtype="int8x32"), dtype="int16x16")
            total = Modular(acc.vload([p, v, 0], "int32x8")) + Modular(T.call_llvm_pure_intrin("llvm.x86.avx2.pmadd.wd", picked, values, dtype="int32x8"))
            T.buffer_store(acc, total.value, [p, v, T.ramp(0, 1, 8)])


def emit_tbl_sdot(tile: Tile, x: Any, w: Picks, acc: Any) -> None:
    """Four bytes of sixteen."""
    for v in range(tile.vectors):
        places, values = w.places(v), w.values(v)
        for p in range(tile.pixels):
            picked = T.call_llvm_pure_intrin("llvm.aarch64.neon.tbl1", x.vload([p * tile.stride], "int8x16"), places, dtype="int8x16")
            total = T.call_llvm_pure_intrin("llvm.aarch64.neon.sdot", acc.vload([p, v, 0], "int32x4"), values, picked, dtype="int32x4")
            T.buffer_store(acc, total, [p, v, T.ramp(0, 1, 4)])


def repeated(vector: Any, times: int) -> Any:
    """`vector` several times, one after the other."""
    elements = int(str(vector.ty.dtype).rpartition("x")[2])
    return T.Shuffle([vector] * times, list(range(elements * times)))


def as_bytes(places: Any) -> Any:
    return T.reinterpret(places, dtype=str(places.ty.dtype).removeprefix("u"))


def as_words(places: Any) -> Any:
    """Of int16: both bytes of element i, 2 * i and 2 * i + 1."""
    return T.reinterpret(T.Cast("int16x16", places) * T.broadcast(T.int16(0x0202), 16) + T.broadcast(T.int16(0x0100), 16), dtype="int8x32")


VPERMB = WindowProduct(
    "vpermb vpdpbusd", avx512.VNNI | {"avx512vbmi"}, "int8", "int8", "int32", lanes=16, depth=64, tiles={1: 12, 2: 8, 4: 4}, cost=(2.1, 1.8, 2.7),
    emit=emit_vpermb_vpdpbusd, beside=1 / 3, weight_low=-128, weight_high=127, x_offset=128, arithmetic=avx512.ARITHMETIC, taps=4, widen=as_bytes,
    widen_cost=0, unpack_cost=2)
VPSHUFB = WindowProduct(
    "vpshufb vpdpbusd", avx512.VNNI, "int8", "int8", "int32", lanes=16, depth=16, tiles={1: 12, 2: 8, 4: 4}, cost=(3, 2.2, 2.7),
    emit=emit_vpshufb_vpdpbusd, beside=1 / 3, weight_low=-128, weight_high=127, x_offset=128, arithmetic=avx512.ARITHMETIC, taps=4, widen=as_bytes,
    widen_cost=0, unpack_cost=2)
VPERMB_UNSIGNED, VPSHUFB_UNSIGNED = [replace(isa, x_dtype="uint8", cost=(isa.cost[0], isa.cost[1] - 0.3, isa.cost[2])) for isa in (VPERMB, VPSHUFB)]
"""Of a copy of the image that holds x + 128."""
PMADDWD = WindowProduct(
    "pshufb pmaddwd", frozenset({"avx2"}), "int16", "int8", "int32", lanes=8, depth=8, tiles={1: 9, 2: 4}, cost=(3.3, 1, 2),
    emit=emit_pshufb_pmaddwd, weight_low=-128, weight_high=127, arithmetic=avx2.ARITHMETIC, taps=2, widen=as_words, widen_cost=3,
    unpack_cost=8)
SDOT = WindowProduct(
    "tbl sdot", frozenset({"dotprod"}), "int8", "int8", "int32", lanes=4, depth=16, tiles={1: 12, 2: 8, 4: 4}, cost=(2.2, 1.2, 3),
    emit=emit_tbl_sdot, weight_low=-128, weight_high=127, arithmetic=neon.ARITHMETIC, taps=4, widen=as_bytes, widen_cost=0,
    unpack_cost=3)

WINDOWS = (VPERMB, VPERMB_UNSIGNED, VPSHUFB, VPSHUFB_UNSIGNED, PMADDWD, SDOT)
