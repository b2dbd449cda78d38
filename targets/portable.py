"""A device programmed in C alone: whatever compiler builds the package chooses the instructions."""

from __future__ import annotations

import dataclasses

from nnc_tvm.targets.base import Target


def portable(target: Target) -> Target:
    """`target` as C99 sees it: no instruction of its own, short vectors that any compiler finds room for; optimized as C needs it."""
    chain = dataclasses.replace(target.toolchain, flags=("-O3", *target.toolchain.flags))
    return dataclasses.replace(target, features=frozenset({"portable"}), vector_bytes=16, prefetch_bytes=0, toolchain=chain, emit="c")
