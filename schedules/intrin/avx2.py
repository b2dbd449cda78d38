"""AVX2 dot products: description and instruction side by side."""

from __future__ import annotations

from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T

# fmt: off


@T.prim_func(s_tir=True)
def pmaddwd_description(a: T.handle, b: T.handle, c: T.handle) -> None:
    A = T.match_buffer(a, (2,), "int16", offset_factor=1)
    B = T.match_buffer(b, (8, 2), "int16", offset_factor=1)
    C = T.match_buffer(c, (8,), "int32", offset_factor=1, scope="local")
    with T.sblock("root"):
        T.reads(C[0:8], A[0:2], B[0:8, 0:2])
        T.writes(C[0:8])
        for i in range(8):
            for k in range(2):
                with T.sblock("update"):
                    vi, vk = T.axis.remap("SR", [i, k])
                    C[vi] = C[vi] + T.Cast("int32", A[vk]) * T.Cast("int32", B[vi, vk])


@T.prim_func(s_tir=True)
def pmaddwd_instruction(a: T.handle, b: T.handle, c: T.handle) -> None:
    A = T.match_buffer(a, (2,), "int16", offset_factor=1)
    B = T.match_buffer(b, (8, 2), "int16", offset_factor=1)
    C = T.match_buffer(c, (8,), "int32", offset_factor=1, scope="local")
    with T.sblock("root"):
        T.reads(C[0:8], A[0:2], B[0:8, 0:2])
        T.writes(C[0:8])
        pair = T.reinterpret(A.vload([0], "int16x2"), dtype="int32")
        C[T.ramp(0, 1, 8)] = C[T.ramp(0, 1, 8)] + T.call_llvm_pure_intrin("llvm.x86.avx2.pmadd.wd", B.vload([0, 0], "int16x16"), T.reinterpret(T.broadcast(pair, 8), dtype="int16x16"), dtype="int32x8")


TensorIntrin.register("avx2_pmaddwd", pmaddwd_description, pmaddwd_instruction)
