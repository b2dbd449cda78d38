"""Runs the stages of one operator on the CPU they are built for, foreign ones under qemu-user, guarded against out-of-bounds access."""

from __future__ import annotations

import pathlib
import subprocess
import tempfile

import numpy as np

from nnc_tvm.package.c_abi import build_c_functions
from nnc_tvm.schedules.operators import Operator
from nnc_tvm.schedules.rule import Stage
from nnc_tvm.targets.base import Target

GUARD = 64  # bytes before and after every array that must stay as they were; input guards hold garbage


def _main_source(stages: tuple[Stage, ...], sizes: list[int], arguments: list[list[int]]) -> str:
    lines = ["#include <stdio.h>", "#include <stdlib.h>", "#include <string.h>", f"enum {{ GUARD = {GUARD}, COUNT = {len(sizes)} }};"]
    for i, a in enumerate(arguments):
        lines.append(f"int stage_{i}({', '.join(['void *'] * len(a))});")
    lines += [
        f"static const long sizes[COUNT] = {{ {', '.join(map(str, sizes))} }};", "int main(int argc, char **argv) {", "  unsigned char *p[COUNT];",
        "  if (argc < 3) return 9;",
        "  for (int i = 0; i < COUNT; i++) {", "    char name[32]; sprintf(name, \"%d.bin\", i);",
        "    p[i] = malloc(sizes[i] + 2 * GUARD); memset(p[i], 0xA5, sizes[i] + 2 * GUARD);",
        "    FILE *f = fopen(name, \"rb\"); if (f) { if (fread(p[i] + GUARD, 1, sizes[i], f) != (size_t)sizes[i]) return 8; fclose(f); }",
        "  }", "  for (int k = 0; k < atoi(argv[1]); k++) {",
    ]
    for i, a in enumerate(arguments):
        lines.append(f"    stage_{i}({', '.join(f'p[{k}] + GUARD' for k in a)});")
    lines += [
        "  }", "  for (int i = 0; i < COUNT; i++) for (int g = 0; g < GUARD; g++)",
        "    if (p[i][g] != 0xA5 || p[i][GUARD + sizes[i] + g] != 0xA5) { fprintf(stderr, \"array %d: guard overwritten\\n\", i); return 7; }",
        "  FILE *f = fopen(\"out.bin\", \"wb\"); fwrite(p[atoi(argv[2])] + GUARD, 1, sizes[atoi(argv[2])], f); fclose(f); return 0; }",
    ]
    return "\n".join(lines) + "\n"


def run_stages(operator: Operator, stages: tuple[Stage, ...], inputs: list[np.ndarray], target: Target, folder: pathlib.Path | None = None,
               calls: int = 1, wrapper: tuple[str, ...] = ()) -> np.ndarray:
    """The operator's output, computed by `stages` compiled for `target`. `wrapper` goes before the executable (a profiler)."""
    with tempfile.TemporaryDirectory() as temporary:
        work = folder or pathlib.Path(temporary)
        build_c_functions({f"stage_{i}": s.function for i, s in enumerate(stages)}, target.tvm_target()).write_to_file(str(work / "stages.o"), "o")
        arrays: list[np.ndarray | None] = list(inputs)
        sizes = [a.nbytes for a in inputs]
        made: list[int] = []
        arguments = []
        for stage in stages:
            ids = [k if k >= 0 else made[-1 - k] for k in stage.inputs]
            for c in stage.constants:
                ids.append(len(arrays))
                arrays.append(c)
                sizes.append(c.nbytes)
            made.append(len(arrays))
            ids.append(len(arrays))
            arrays.append(None)
            sizes.append(stage.output.bytes)
            arguments.append(ids)
        for i, a in enumerate(arrays):
            if a is not None:
                np.ascontiguousarray(a).tofile(work / f"{i}.bin")
        (work / "main.c").write_text(_main_source(stages, sizes, arguments))
        chain = target.toolchain
        subprocess.run([f"{chain.prefix}gcc", "-O1", *(("-static",) if chain.prefix else ()), "main.c", "stages.o", "-lm", "-o", "stages"], check=True, cwd=work)
        emulator = [part.format(cpu=target.emulated_cpu) for part in chain.emulator]
        done = subprocess.run([*emulator, *wrapper, "./stages", str(calls), str(made[-1])], cwd=work, capture_output=True, text=True)
        assert done.returncode == 0, f"exit {done.returncode}: {done.stderr[-500:]}"
        return np.fromfile(work / "out.bin", operator.output.dtype).reshape(operator.output.shape)
