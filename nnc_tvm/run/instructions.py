"""Guest instructions of a foreign package, counted by a plugin of qemu-user that is built on demand."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Sequence

from nnc_tvm.errors import ToolFailed
from nnc_tvm.package.toolchain import run_tool
from nnc_tvm.run.runner import Runner

SOURCE = pathlib.Path(__file__).parent / "count_instructions.c"
EMPTY_RUNS = 2  # inferences before the counted one: the first ones touch memory that the C library still has to set up


def guest_instructions(runner: Runner, files: Sequence[pathlib.Path]) -> int:
    """Instructions of one inference: what a run with one inference more takes. The same package always gives the same number."""
    plugin = build_plugin(runner)
    return _count(runner, plugin, EMPTY_RUNS + 1, files) - _count(runner, plugin, EMPTY_RUNS, files)


def build_plugin(runner: Runner) -> pathlib.Path:
    """Compiles the plugin for this machine and the emulator's version."""
    emulator = runner.tools.emulator[0]
    version = re.search(r"version (\d+)", run_tool([emulator, "--version"], runner.tools.debian_packages, runner.work))
    # qemu 9 raised the oldest plugin interface it accepts to 2; the functions used here are the same in both
    interface = 1 if version and int(version[1]) < 9 else 2
    run_tool(["gcc", "-shared", "-fPIC", "-O2", f"-DPLUGIN_API={interface}", str(SOURCE), "-o", "count_instructions.so"], ("gcc",), runner.work)
    return runner.work / "count_instructions.so"


def _count(runner: Runner, plugin: pathlib.Path, inferences: int, files: Sequence[pathlib.Path]) -> int:
    done = runner.run("repeat", inferences, files, ("-plugin", str(plugin), "-d", "plugin"))
    found = re.search(r"^instructions (\d+)$", done.stderr, re.MULTILINE)
    if not found:
        raise ToolFailed(f"{runner.tools.emulator[0]} did not report the plugin's count: {done.stderr.strip()[-120:] or 'no output'}")
    return int(found[1])
