"""lib/NAME.a: the kernels' machine code and the constants, free of anything of TVM's."""

from __future__ import annotations

import errno
import os
import pathlib
import re
import shutil
from typing import TYPE_CHECKING

from nnc_tvm.errors import ToolFailed
from nnc_tvm.package.c_abi import build_c_functions
from nnc_tvm.package.constants import Constants
from nnc_tvm.package.toolchain import Tools

if TYPE_CHECKING:
    import tvm
    from tvm import tirx

    from nnc_tvm.targets.base import Companion

LIBC = frozenset({"memcpy", "memset", "memmove"})
HELPERS = ".text.tvm.fp16.conv"  # weak half-float conversions that TVM adds to every module; no kernel calls them
UNWINDING = (".eh_frame", ".rela.eh_frame")  # tables of kernels that call something; nothing is thrown through C
OBJECT_ROOM = 32 << 20  # bytes, more than the kernels of any network take
HELPER_SYMBOLS = ("__truncsfhf2", "__extendhfsf2")


def build_library(functions: dict[str, tirx.PrimFunc], constants: Constants, constant_prefix: str, target: tvm.target.Target, tools: Tools,
                  work: pathlib.Path, archive: pathlib.Path, companion: Companion | None = None) -> tuple[str, ...]:
    """Writes `archive`; returns the libm functions that the kernels call.

    `work` is a folder for intermediate files. The same input gives the same bytes.
    """
    if shutil.disk_usage(work).free < OBJECT_ROOM:  # LLVM ends the process, without a word to Python, when it cannot write
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(work))
    members = []
    libm: tuple[str, ...] = ()
    if functions:
        build_c_functions(functions, target).write_to_file(str(work / "lowered.o"), "o")
        sections = (HELPERS, f".rela{HELPERS}", ".comment", *UNWINDING)
        drop = [f"--remove-section={name}" for name in sections] + [f"--strip-symbol={name}" for name in HELPER_SYMBOLS]
        tools.run("objcopy", "--strip-debug", "--discard-all", *drop, "lowered.o", "kernels.o", folder=work)
        libm = tuple(f for f in libm_functions(work / "kernels.o", tools) if companion is None or f not in companion.symbols)
        members.append("kernels.o")
    flags = companion.flags if companion else ()
    for source in companion.sources if companion else ():
        tools.compile(*flags, "-O3", "-Wno-conversion", "-c", source, "-o", f"{source.stem}.o", folder=work)
        members.append(f"{source.stem}.o")
    if constants.count:
        image, _ = constants.image()
        (work / "constants.bin").write_bytes(image)
        (work / "constants.s").write_text(constants.assembly(constant_prefix, "constants.bin"))
        tools.run("as", "constants.s", "-o", "constants.o", folder=work)
        members.append("constants.o")
    archive.parent.mkdir(parents=True, exist_ok=True)
    tools.run("ar", "rcsD", archive.resolve(), *members, folder=work)
    return libm


def libm_functions(kernels: pathlib.Path, tools: Tools) -> tuple[str, ...]:
    """What the object file needs beyond memcpy and its like. Raises ToolFailed where that is TVM's runtime or writable data."""
    undefined = sorted({line.split()[-1] for line in tools.run("nm", "-u", kernels, folder=kernels.parent).splitlines()} - LIBC)
    for symbol in undefined:
        if "TVM" in symbol or "tvm" in symbol:
            raise ToolFailed(f"a kernel calls {symbol} of TVM's runtime, which a package does not have; a buffer inside a kernel is too large for the stack")
    sizes = section_sizes(kernels, tools)
    writable = [name for name, size in sizes.items() if size and re.match(r"\.(data|bss|tbss|tdata)", name)]
    if writable:
        raise ToolFailed(f"the kernels hold writable data in {', '.join(writable)}; a package has none")
    return tuple(undefined)


def section_sizes(file: pathlib.Path, tools: Tools) -> dict[str, int]:
    """Bytes of each section of an object file or archive, summed over the members."""
    sizes: dict[str, int] = {}
    for line in tools.run("size", "-A", file.resolve(), folder=file.parent).splitlines():
        found = re.fullmatch(r"(\.\S+)\s+(\d+)\s+\d+", line)
        if found:
            sizes[found[1]] = sizes.get(found[1], 0) + int(found[2])
    return sizes


def code_and_constants(files: list[pathlib.Path], tools: Tools) -> tuple[int, int]:
    """(bytes of machine code, bytes of read-only data) in object files and archives."""
    code = constants = 0
    for file in files:
        for name, size in section_sizes(file, tools).items():
            code += size if name.startswith(".text") else 0
            constants += size if name.startswith(".rodata") else 0
    return code, constants
