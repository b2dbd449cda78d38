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
    """Instructions of one inference: what a run with one inference more takes. The same package always gives the same number.

    Of several threads it is the work of all: one thread does it, as threads that wait for each other turn as long as it takes.
    """
    plugin = build_plugin(runner)
    counts = [int(_run(runner, plugin, inferences, files, "instructions")[0]) for inferences in (EMPTY_RUNS, EMPTY_RUNS + 1)]
    return counts[1] - counts[0]


def marks(runner: Runner, files: Sequence[pathlib.Path]) -> list[int]:
    """Instructions before each call of the guest's function nnc_mark, over one inference."""
    return [int(count) for count in _run(runner, build_plugin(runner), 1, files, "mark")]


def build_plugin(runner: Runner) -> pathlib.Path:
    """Compiles the plugin for this machine and the emulator's version."""
    emulator = runner.tools.emulator[0]
    version = re.search(r"version (\d+)", run_tool([emulator, "--version"], runner.tools.debian_packages, runner.work))
    # qemu 9 raised the oldest plugin interface it accepts to 2; the functions used here are the same in both
    interface = 1 if version and int(version[1]) < 9 else 2
    run_tool(["gcc", "-shared", "-fPIC", "-O2", f"-DPLUGIN_API={interface}", str(SOURCE), "-o", "count_instructions.so"], ("gcc",), runner.work)
    return runner.work / "count_instructions.so"


def _run(runner: Runner, plugin: pathlib.Path, inferences: int, files: Sequence[pathlib.Path], word: str) -> list[str]:
    """The numbers that the plugin prints after `word`."""
    done = runner.run("count", inferences, files, ("-plugin", str(plugin), "-d", "plugin"))
    found = re.findall(rf"^{word} (\d+)$", done.stderr, re.MULTILINE)
    if not found:
        raise ToolFailed(f"{runner.tools.emulator[0]} did not report the plugin's count: {done.stderr.strip()[-120:] or 'no output'}")
    return found
