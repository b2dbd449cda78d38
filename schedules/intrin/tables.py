"""256-byte look-ups in registers: a vector of indices at a time.

An index is a byte without sign. `tbl` and `tbx` look up 64 entries, `vpermi2b` 128, `vpshufb` 16.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm.script import tirx as T


@dataclass(frozen=True, eq=False)
class TableLookUp:
    """How a CPU looks up bytes.

    features: what it must have. lanes: bytes at a time. arranged: the table (256,), and behind it what else the instructions want of it.
    look_up: (held, indices) -> the vector of entries; `held` is a buffer of what is arranged.
    """

    name: str
    features: frozenset[str]
    lanes: int
    arranged: Callable[[np.ndarray], np.ndarray]
    look_up: Callable[[Any, Any], Any]


def look_up_tbl(held: Any, indices: Any) -> Any:
    """tbl gives 0 and tbx keeps its first operand where an index is beyond 64 entries; indices less 64, 128 and 192 wrap around."""
    quarters = [[held[T.ramp(64 * q + 16 * v, 1, 16)] for v in range(4)] for q in range(4)]
    result = T.call_llvm_pure_intrin("int8x16", "llvm.aarch64.neon.tbl4", *quarters[0], indices)
    for q in range(1, 4):
        beyond = indices - T.broadcast(T.int8(64 * q - 256 if q > 1 else 64), 16)
        result = T.call_llvm_pure_intrin("int8x16", "llvm.aarch64.neon.tbx4", result, *quarters[q], beyond)
    return result


def look_up_vpermi2b(held: Any, indices: Any) -> Any:
    """vpermi2b reads the low 7 bits of an index; the highest chooses the half."""
    eighths = [held[T.ramp(64 * v, 1, 64)] for v in range(4)]
    low, high = (T.call_llvm_pure_intrin("int8x64", "llvm.x86.avx512.vpermi2var.qi.512", eighths[v], indices, eighths[v + 1]) for v in (0, 2))
    return T.Select(indices < T.broadcast(T.int8(0), 64), high, low)


def differences(table: np.ndarray) -> np.ndarray:
    """The table; then each half's rows of 16, the second and later ones less (exclusive or) the row before, every row twice."""
    rows = table.reshape(2, 8, 16).copy()
    rows[:, 1:] ^= rows[:, :-1]
    return np.concatenate([table, np.repeat(rows.reshape(16, 1, 16), 2, axis=1).reshape(-1)])


def look_up_vpshufb(held: Any, indices: Any) -> Any:
    """vpshufb reads the low 4 bits of an index and gives 0 for negative ones.

    An index of the half that is not looked up is negative and stays so, less 16 with saturation; one of row r is negative from row r + 1
    on, so that the exclusive or of the rows' differences is entry r.
    """
    sixteen = T.broadcast(T.int8(16), 32)
    result: Any = None
    for half in range(2):
        index = indices ^ T.broadcast(T.int8(-128), 32) if half else indices
        for row in range(8):
            entry = T.call_llvm_pure_intrin("int8x32", "llvm.x86.avx2.pshuf.b", held[T.ramp(256 + 32 * (8 * half + row), 1, 32)], index)
            result = entry if result is None else result ^ entry
            index = T.call_llvm_pure_intrin("int8x32", "llvm.ssub.sat", index, sixteen)
    return result


LOOK_UPS = (
    TableLookUp("tbl", frozenset({"neon"}), 16, lambda table: table, look_up_tbl),
    TableLookUp("vpermi2b", frozenset({"avx512bw", "avx512vbmi"}), 64, lambda table: table, look_up_vpermi2b),
    TableLookUp("vpshufb", frozenset({"avx2"}), 32, differences, look_up_vpshufb),
)


def table_in_registers(total: int, by: TableLookUp) -> Any:
    """PrimFunc (x (total,) int8, table int8 as it is arranged, y (total,) int8): y = table[x as uint8]."""
    lanes = by.lanes
    vectors, size = total // lanes, by.arranged(np.zeros(256, np.int8)).size

    @T.prim_func(s_tir=True)
    def table_kernel(x: T.Buffer((total,), "int8"), table: T.Buffer((size,), "int8"), y: T.Buffer((total,), "int8")) -> None:  # type: ignore[valid-type]
        with T.sblock("y"):
            T.reads(x[0:total], table[0:size])
            T.writes(y[0:total])
            # a local copy: LLVM sees that stores to y leave it alone and keeps it in registers
            held = T.alloc_buffer((size,), "int8", scope="local")
            for v in T.unroll(size // lanes):
                held[T.ramp(v * lanes, 1, lanes)] = table[T.ramp(v * lanes, 1, lanes)]
            for i in T.parallel(vectors):
                y[T.ramp(i * lanes, 1, lanes)] = by.look_up(held, x[T.ramp(i * lanes, 1, lanes)])
            for i in T.parallel(total % lanes):
                y[vectors * lanes + i] = table[T.Cast("int32", T.reinterpret("uint8", x[vectors * lanes + i]))]

    return table_kernel
