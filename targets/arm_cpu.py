"""64-bit ARM CPUs with NEON: Armv8.0, dotprod and i8mm, chosen by the CPU's name."""

from __future__ import annotations

from nnc_tvm.targets.base import Target, Toolchain
from nnc_tvm.targets.cpu_rules import cpu_rules
from nnc_tvm.targets.llvm_cpus import cpu_features

TRIPLE = "aarch64-linux-gnu"
DEFAULT_CPU = "cortex-a53"  # the oldest Armv8.0 core still sold: its packages run on every 64-bit ARM

TOOLCHAIN = Toolchain(
    prefix="aarch64-linux-gnu-", emulator=("qemu-aarch64", "-cpu", "{cpu}"), packages=("gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-user", "make")
)

# the CPUs qemu 7.2 knows, the oldest first, with the features that rules ask for
EMULATED: tuple[tuple[str, frozenset[str]], ...] = (
    ("cortex-a53", frozenset()), ("cortex-a76", frozenset({"dotprod"})), ("max", frozenset({"dotprod", "i8mm"})),
)


def arm_cpu(mcpu: str = DEFAULT_CPU) -> Target:
    """A 64-bit ARM CPU by LLVM's name (cortex-a53, cortex-a76, neoverse-v1, ...)."""
    features = cpu_features(TRIPLE, mcpu)
    wanted = features & {"dotprod", "i8mm"}
    emulated = next(name for name, has in EMULATED if wanted <= has)
    # SVE would make LLVM's code depend on a vector length that the rules do not plan with
    attributes = ("-sve", "-sve2") if "sve" in features else ()
    return Target(kind="arm_cpu", mcpu=mcpu, triple=TRIPLE, features=features - {"sve", "sve2"}, vector_bytes=16, registers=32, l1_bytes=32 << 10,
                  l2_bytes=512 << 10, rules=cpu_rules(), toolchain=TOOLCHAIN, emulated_cpu=emulated, attributes=attributes)
