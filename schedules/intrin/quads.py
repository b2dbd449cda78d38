"""Four products of bytes, summed in every lane of int32: how CPUs take lists of four weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.arithmetic import Arithmetic
from nnc_tvm.schedules.intrin import avx2, avx512, neon
from nnc_tvm.schedules.modular import Modular

BYTES = 16  # of the lanes that interleaving instructions stay within


@dataclass(frozen=True, eq=False)
class Quads:
    """add(acc, x, w): acc[lane] + sum over d < 4 of x[4 * lane + d] * w[4 * lane + d].

    features: what the CPU must have. x_offset: 128 where x is taken for unsigned, else 0. lanes: of int32. costs: estimated instructions per four
    weights, by vectors of bytes; aligned: of them where every load begins with a plane. streams: 2 where the first and third product must be of
    positive weights and the others of negative ones, or sums of two could saturate; 1 for any order. list_cost: of a list's beginning and end, which
    the CPU does not foresee; vector_cost: of requantizing and storing.
    """

    name: str
    features: frozenset[str]
    lanes: int
    streams: int
    x_offset: int
    costs: dict[int, float]
    aligned: float
    add: Callable[[Any, Any, Any], Any]
    arithmetic: Arithmetic
    list_cost: float = 80.0
    vector_cost: float = 9.0


def add_pmaddubsw(acc: Any, x: Any, w: Any) -> Any:
    pairs = T.call_llvm_pure_intrin("llvm.x86.avx2.pmadd.ub.sw", x, w, dtype="int16x16")
    total = T.call_llvm_pure_intrin("llvm.x86.avx2.pmadd.wd", pairs, T.broadcast(T.int16(1), 16), dtype="int32x8")
    return (Modular(acc) + Modular(total)).value


def add_vpdpbusd(acc: Any, x: Any, w: Any) -> Any:
    return T.call_llvm_pure_intrin("llvm.x86.avx512.vpdpbusd.512", acc, x, w, dtype="int32x16")


def add_sdot(acc: Any, x: Any, w: Any) -> Any:
    return T.call_llvm_pure_intrin("llvm.aarch64.neon.sdot", acc, x, w, dtype="int32x4")


PMADDUBSW = Quads("pmaddubsw", frozenset({"avx2"}), 8, 2, 128, {1: 32.0, 2: 72.0}, 0.75, add_pmaddubsw, avx2.ARITHMETIC)
VPDPBUSD = Quads("vpdpbusd", avx512.VNNI, 16, 1, 128, {1: 24.0, 2: 45.0}, 0.75, add_vpdpbusd, avx512.ARITHMETIC)
SDOT = Quads("sdot", frozenset({"neon", "dotprod"}), 4, 1, 0, {groups: 11.2 + 15.1 * groups for groups in range(1, 6)}, 1.0, add_sdot, neon.ARITHMETIC,
             16.0, 5.7)

QUADS = (VPDPBUSD, PMADDUBSW, SDOT)
