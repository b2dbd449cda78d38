"""The GNU tools and the emulator of a target, as found on this machine."""

from __future__ import annotations

import os
import pathlib
import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from nnc_tvm.errors import MissingTool, ToolFailed

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror")
"""What every C file of a package compiles under."""


def thread_flags(threads: int) -> tuple[str, ...]:
    """What the files of a package of several threads compile under instead: they need C11's memory model."""
    return ("-std=c11", "-pthread") if threads > 1 else ()


@dataclass(frozen=True)
class Tools:
    """prefix: of the GNU tools. emulator: command in front of an executable, empty where it runs natively.
    debian_packages: what to install when one is missing. flags: for the compiler."""

    prefix: str
    emulator: tuple[str, ...]
    debian_packages: tuple[str, ...]
    flags: tuple[str, ...] = ()

    @property
    def native(self) -> bool:
        return not self.emulator

    @property
    def link_flags(self) -> tuple[str, ...]:
        """An emulator finds no shared libraries of the foreign system, so what it runs is linked statically."""
        return () if self.native else ("-static",)

    def run(self, program: str, *arguments: str | pathlib.Path, folder: pathlib.Path) -> str:
        """Runs `program` of the toolchain in `folder`; its standard output.

        Raises MissingTool naming the package to install, ToolFailed with the first error line.
        """
        return run_tool([self.prefix + program, *map(str, arguments)], self.debian_packages, folder)

    def compile(self, *arguments: str | pathlib.Path, folder: pathlib.Path) -> None:
        """Runs the C compiler as the package's own Makefile would, warnings being errors."""
        self.run("gcc", *STRICT, "-O2", *self.flags, *arguments, folder=folder)


def resolve(triple: str, prefix: str, emulator: Sequence[str], debian_packages: Sequence[str], flags: Sequence[str] = ()) -> Tools:
    """The tools for `triple` here: the machine's own, without an emulator, where it is of that architecture."""
    if platform.machine() == triple.split("-")[0]:
        return Tools("", (), ("gcc", "binutils", "make"), tuple(flags))
    return Tools(prefix, tuple(emulator), tuple(debian_packages), tuple(flags))


TELLING = ("error", "failed", "no space", "undefined reference")  # the lines of a tool that say what is wrong


def run_tool(command: Sequence[str], debian_packages: Sequence[str], folder: pathlib.Path) -> str:
    """Standard output of `command`, run in `folder`, where its temporary files lie, too. Raises MissingTool or ToolFailed."""
    if shutil.which(command[0]) is None:
        raise MissingTool(f"{command[0]} is not installed; on Debian: apt-get install {' '.join(debian_packages)}")
    # what a tool that is interrupted leaves of its own goes with the folder
    done = subprocess.run(list(command), cwd=folder, env={**os.environ, "TMPDIR": str(folder.absolute())}, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if not line.startswith("collect2:")] or ["no message"]  # it repeats the linker's exit code
        said = [line for line in lines if any(word in line.lower() for word in TELLING)] or lines
        how = f"exit code {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
        raise ToolFailed(f"{command[0]}: {said[0].strip()} ({how})")
    return done.stdout
