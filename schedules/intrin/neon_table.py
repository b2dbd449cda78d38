"""256-byte look-ups in NEON registers: four `tbl` instructions of 64 entries each."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T


def look_up(table: Any, indices: Any) -> Any:
    """table[indices] for 16 unsigned bytes; `table` is a buffer of 256 bytes.

    tbl gives 0 and tbx keeps its first operand where an index is beyond 64 entries; indices less 64, 128 and 192 wrap around.
    """
    quarters = [[table[T.ramp(64 * q + 16 * v, 1, 16)] for v in range(4)] for q in range(4)]
    result = T.call_llvm_pure_intrin("int8x16", "llvm.aarch64.neon.tbl4", *quarters[0], indices)
    for q in range(1, 4):
        beyond = indices - T.broadcast(T.int8(64 * q - 256 if q > 1 else 64), 16)
        result = T.call_llvm_pure_intrin("int8x16", "llvm.aarch64.neon.tbx4", result, *quarters[q], beyond)
    return result


def table_in_registers(total: int) -> Any:
    """PrimFunc (x (total,) int8, table (256,) int8, y (total,) int8): y = table[x as uint8]."""
    vectors = total // 16

    @T.prim_func(s_tir=True)
    def table_kernel(x: T.Buffer((total,), "int8"), table: T.Buffer((256,), "int8"), y: T.Buffer((total,), "int8")) -> None:  # type: ignore[valid-type]
        with T.sblock("y"):
            T.reads(x[0:total], table[0:256])
            T.writes(y[0:total])
            # a local copy: LLVM sees that stores to y leave it alone and keeps it in registers
            held = T.alloc_buffer((256,), "int8", scope="local")
            for v in T.unroll(16):
                held[T.ramp(v * 16, 1, 16)] = table[T.ramp(v * 16, 1, 16)]
            for i in T.parallel(vectors):
                y[T.ramp(i * 16, 1, 16)] = look_up(held, x[T.ramp(i * 16, 1, 16)])
            for i in T.parallel(total % 16):
                y[vectors * 16 + i] = table[T.Cast("int32", T.reinterpret("uint8", x[vectors * 16 + i]))]

    return table_kernel
