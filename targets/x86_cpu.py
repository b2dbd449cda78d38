"""The host: x86-64 with AVX2 and FMA."""

from __future__ import annotations

from nnc_tvm.errors import InvalidInput
from nnc_tvm.targets.base import Target, Toolchain
from nnc_tvm.targets.cpu_rules import cpu_rules
from nnc_tvm.targets.llvm_cpus import cpu_features, native_cpu

TRIPLE = "x86_64-linux-gnu"
DEFAULT_CPU = "x86-64-v3"
NATIVE = "native"
REQUIRED = frozenset({"avx2", "fma"})


def x86_cpu(mcpu: str = DEFAULT_CPU) -> Target:
    """An x86-64 CPU by LLVM's name; AVX2 and FMA are required (Haswell 2013, Zen 2017 and later).

    "native" is the CPU that compiles, or the default where that is none of these.
    """
    lacking: frozenset[str] = frozenset()
    if mcpu == NATIVE:
        mcpu, lacking = native_cpu(TRIPLE, REQUIRED) or (DEFAULT_CPU, lacking)
    features = cpu_features(TRIPLE, mcpu) - lacking
    if not features >= REQUIRED:
        raise InvalidInput(f"--mcpu {mcpu}: x86_cpu needs AVX2 and FMA; use {DEFAULT_CPU} or a later CPU")
    l2_bytes = (1 << 20) if "avx512vnni" in features else (512 << 10)
    # VNNI leaves memory half the time
    stream_bytes, stream_cost, read_cost = (1 << 20, 0.25, 0.07) if "avx512vnni" in features else (6 << 20, 0.5, 0.22)
    return Target(kind="x86_cpu", mcpu=mcpu, triple=TRIPLE, features=features, vector_bytes=32, registers=16, l1_bytes=32 << 10, l2_bytes=l2_bytes,
                  rules=cpu_rules(), toolchain=Toolchain(packages=("gcc", "make")), prefetch_bytes=16 << 10, stream_bytes=stream_bytes,
                  stream_cost=stream_cost, read_cost=read_cost,
                  attributes=tuple(f"-{name}" for name in sorted(lacking)))
