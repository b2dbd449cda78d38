"""What a target is: hardware as data. Rules and the package builder read it; nothing asks for a target's kind."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass, field
from typing import Any, Literal

from nnc_tvm.schedules.forms import ALL
from nnc_tvm.schedules.quantization import Mode
from nnc_tvm.schedules.rule import Rule
from nnc_tvm.targets.npu.config import Config

Optimize = Literal["speed", "balanced", "size"]
Emit = Literal["obj", "c"]


@dataclass(frozen=True)
class Toolchain:
    """The programs that turn a package into something that runs.

    prefix: of the GNU tools ("aarch64-linux-gnu-", "" for the host's own).
    emulator: command that runs a foreign executable, with "{cpu}" for the emulator's CPU name; empty when it runs natively.
    packages: Debian packages that provide them, for the message when they are missing.
    flags: what the compiler is always given beside the package's own flags.
    """

    prefix: str = ""
    emulator: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Companion:
    """A device beside the CPU. config: its sizes. economical: it has as little SRAM as costs few cycles, instead of config's.

    sources: C files that packages link beside their kernels, compiled with `flags`; symbols: what kernels call of them.
    """

    config: Config
    economical: bool
    sources: tuple[pathlib.Path, ...]
    flags: tuple[str, ...]
    symbols: frozenset[str]


@dataclass(frozen=True)
class Target:
    """One kind of device.

    kind: "x86_cpu", "arm_cpu", ...; mcpu: LLVM's CPU name; triple: LLVM's target triple.
    features: instruction-set extensions that rules ask for ("avx2", "neon", "dotprod", "i8mm").
    vector_bytes: width of a vector register; registers: how many; cache sizes in bytes.
    prefetch_bytes: how far ahead of their use software asks for streamed weights; 0 where hardware sees streams coming.
    stream_bytes: weights of more bytes do not stay in any cache from one inference to the next; stream_cost: instructions in whose time a byte of them comes.
    read_cost: instructions in whose time a byte of weights comes from the second cache; a layer takes no less, few pixels take no more.
    rules: schedule rules in the order they are tried.
    toolchain: builds and runs packages. emulated_cpu: the name the emulator knows the CPU by.
    attributes: LLVM's features switched on ("+name") or off ("-name") beside those of the CPU.
    optimize: what a package is made for. "speed" may grow the weights, "balanced" keeps them within twice the model's, "size" takes
        the smallest form of each layer.
    threads: that run a package together, one for one part of each kernel.
    emit: what kernels are written as: machine code ("obj"), or C source ("c", see portable.py).
    channel_multiple: kernels waste nothing on images of a multiple of so many channels.
    forms: what the weights of a layer may become beside dense, see schedules/forms.py.
    merge_factors: whether integer factors may be merged with results that differ by the requantization between them.
    companion: a device that takes layers over, or None.
    requantize: the one meaning of requantization that the device computes, or None.
    """

    kind: str
    mcpu: str
    triple: str
    features: frozenset[str]
    vector_bytes: int
    registers: int
    l1_bytes: int
    l2_bytes: int
    rules: tuple[Rule, ...] = field(repr=False)
    toolchain: Toolchain = Toolchain()
    emulated_cpu: str = ""
    attributes: tuple[str, ...] = ()
    prefetch_bytes: int = 0
    stream_bytes: int = 1 << 62
    stream_cost: float = 0.0
    read_cost: float = 0.0
    optimize: Optimize = "balanced"
    forms: frozenset[str] = ALL
    merge_factors: bool = False
    channel_multiple: int = 8
    companion: Companion | None = None
    requantize: Mode | None = None
    emit: Emit = "obj"
    threads: int = 1

    def tvm_target(self) -> Any:
        """The tvm.target.Target that LLVM compiles for."""
        import tvm

        config: dict[str, Any] = {"kind": "llvm", "mtriple": self.triple, "mcpu": self.mcpu, "num-cores": 1}
        if self.attributes:
            config["mattr"] = list(self.attributes)
        return tvm.target.Target(config)
