"""Targets by name. A new target is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable

from nnc_tvm.errors import InvalidInput
from nnc_tvm.targets.arm_cpu import DEFAULT_CPU as ARM_DEFAULT
from nnc_tvm.targets.arm_cpu import arm_cpu
from nnc_tvm.targets.base import Emit, Target
from nnc_tvm.targets.npu.target import configure, npu
from nnc_tvm.targets.portable import portable
from nnc_tvm.targets.threaded import threaded
from nnc_tvm.targets.x86_cpu import DEFAULT_CPU as X86_DEFAULT
from nnc_tvm.targets.x86_cpu import NATIVE, x86_cpu

TARGETS: dict[str, tuple[Callable[[str], Target], str]] = {"arm_cpu": (arm_cpu, ARM_DEFAULT), "x86_cpu": (x86_cpu, NATIVE),
                                                                 "npu": (npu, X86_DEFAULT)}


def get_target(kind: str, mcpu: str | None = None, npu_options: str | None = None, emit: Emit = "obj", threads: int = 1) -> Target:
    """The target `kind` for the CPU `mcpu` (LLVM's name), or its default CPU. npu_options: see `configure`; emit "c": see `portable`; threads: see `threaded`.

    Raises InvalidInput for unknown names, and for what does not go together.
    """
    if kind not in TARGETS:
        raise InvalidInput(f"--target {kind}: not one of {', '.join(TARGETS)}")
    if kind == "npu" and emit == "c":
        raise InvalidInput("--emit c: packages for the NPU hold its driver as machine code; leave --emit c out")
    if kind == "npu" and threads > 1:
        raise InvalidInput(f"--threads {threads}: the NPU's driver runs on one thread; leave --threads out")
    if npu_options is not None:
        if kind != "npu" or mcpu is not None:
            raise InvalidInput(f"--npu {npu_options}: goes with --target npu and without --mcpu; name the CPU's kind with host=")
        return configure(npu_options)
    make, default = TARGETS[kind]
    target = make(mcpu or default)
    return threaded(portable(target) if emit == "c" else target, threads)
