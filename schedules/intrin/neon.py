"""NEON dot products: description and instruction side by side."""

from __future__ import annotations

from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T

# fmt: off


@T.prim_func(s_tir=True)
def sdot_description(a: T.handle, b: T.handle, c: T.handle) -> None:
    A = T.match_buffer(a, (4,), "int8", offset_factor=1)
    B = T.match_buffer(b, (4, 4), "int8", offset_factor=1)
    C = T.match_buffer(c, (4,), "int32", offset_factor=1, scope="local")
    with T.sblock("root"):
        T.reads(C[0:4], A[0:4], B[0:4, 0:4])
        T.writes(C[0:4])
        for i in range(4):
            for k in range(4):
                with T.sblock("update"):
                    vi, vk = T.axis.remap("SR", [i, k])
                    C[vi] = C[vi] + T.Cast("int32", A[vk]) * T.Cast("int32", B[vi, vk])


@T.prim_func(s_tir=True)
def sdot_instruction(a: T.handle, b: T.handle, c: T.handle) -> None:
    A = T.match_buffer(a, (4,), "int8", offset_factor=1)
    B = T.match_buffer(b, (4, 4), "int8", offset_factor=1)
    C = T.match_buffer(c, (4,), "int32", offset_factor=1, scope="local")
    with T.sblock("root"):
        T.reads(C[0:4], A[0:4], B[0:4, 0:4])
        T.writes(C[0:4])
        four = T.reinterpret(A.vload([0], "int8x4"), dtype="int32")
        C[T.ramp(0, 1, 4)] = T.call_llvm_pure_intrin("llvm.aarch64.neon.sdot", C[T.ramp(0, 1, 4)], B.vload([0, 0], "int8x16"), T.reinterpret(T.broadcast(four, 4), dtype="int8x16"), dtype="int32x4")


# Armv8.0: B holds [pair][channel][element]. Two products meet in an int16 lane before the widening add, so with weights >= -127 the
# lane stays within 2 * 127 * 128 < 2^15.


@T.prim_func(s_tir=True)
def smlal_description(a: T.handle, b: T.handle, c: T.handle) -> None:
    A = T.match_buffer(a, (4,), "int8", offset_factor=1)
    B = T.match_buffer(b, (2, 4, 2), "int8", offset_factor=1)
    C = T.match_buffer(c, (4,), "int32", offset_factor=1, scope="local")
    with T.sblock("root"):
        T.reads(C[0:4], A[0:4], B[0:2, 0:4, 0:2])
        T.writes(C[0:4])
        for i in range(4):
            for k in range(4):
                with T.sblock("update"):
                    vi, vk = T.axis.remap("SR", [i, k])
                    C[vi] = C[vi] + T.Cast("int32", A[vk]) * T.Cast("int32", B[vk // 2, vi, vk % 2])


@T.prim_func(s_tir=True)
def smlal_instruction(a: T.handle, b: T.handle, c: T.handle) -> None:
    A = T.match_buffer(a, (4,), "int8", offset_factor=1)
    B = T.match_buffer(b, (2, 4, 2), "int8", offset_factor=1)
    C = T.match_buffer(c, (4,), "int32", offset_factor=1, scope="local")
    with T.sblock("root"):
        T.reads(C[0:4], A[0:4], B[0:2, 0:4, 0:2])
        T.writes(C[0:4])
        first = T.reinterpret(T.broadcast(T.reinterpret(A.vload([0], "int8x2"), dtype="int16"), 8), dtype="int8x16")
        second = T.reinterpret(T.broadcast(T.reinterpret(A.vload([2], "int8x2"), dtype="int16"), 8), dtype="int8x16")
        weights = B.vload([0, 0, 0], "int8x16")
        pairs = T.call_llvm_pure_intrin("llvm.aarch64.neon.smull", T.vectorlow("int8x8", first), T.vectorlow("int8x8", weights), dtype="int16x8") + T.call_llvm_pure_intrin("llvm.aarch64.neon.smull", T.vectorhigh("int8x8", second), T.vectorhigh("int8x8", weights), dtype="int16x8")
        C[T.ramp(0, 1, 4)] = C[T.ramp(0, 1, 4)] + T.call_llvm_pure_intrin("llvm.aarch64.neon.saddlp", pairs, dtype="int32x4")


TensorIntrin.register("neon_sdot", sdot_description, sdot_instruction)
TensorIntrin.register("neon_smlal", smlal_description, smlal_instruction)
