"""Runs operators' stages on the CPU they are built for, foreign ones under qemu-user, guarded against out-of-bounds access."""

from __future__ import annotations

import pathlib
import subprocess
import tempfile
from dataclasses import dataclass

import numpy as np

from nnc_tvm.package.c_abi import build_c_functions
from nnc_tvm.package.c_kernels import kernels_source
from nnc_tvm.package.toolchain import STRICT
from nnc_tvm.schedules.operators import Operator
from nnc_tvm.schedules.rule import Stage
from nnc_tvm.targets.base import Target

GUARD = 64  # bytes before and after every array that must stay as they were; input guards hold garbage


@dataclass(frozen=True, eq=False)
class Job:
    """One operator to run: its stages, and its inputs in order."""

    operator: Operator
    stages: tuple[Stage, ...]
    inputs: list[np.ndarray]


def _main_source(calls: list[tuple[str, list[int], int]], sizes: list[int], outputs: list[int]) -> str:
    """calls: function, arrays, parts. The last part comes first: none may need what another writes."""
    lines = ["#include <stdio.h>", "#include <stdlib.h>", "#include <string.h>", f"enum {{ GUARD = {GUARD}, COUNT = {len(sizes)} }};"]
    lines += [f"int {name}({', '.join(['void *'] * len(arrays) + ['int'] * (parts > 1))});" for name, arrays, parts in calls]
    lines += [
        f"static const long sizes[COUNT] = {{ {', '.join(map(str, sizes))} }};", f"static const int outputs[] = {{ {', '.join(map(str, outputs))} }};",
        "int main(int argc, char **argv) {", "  static unsigned char *p[COUNT]; char name[32];", "  if (argc < 2) return 9;",
        "  for (int i = 0; i < COUNT; i++) {",
        "    sprintf(name, \"%d.bin\", i); p[i] = malloc(sizes[i] + 2 * GUARD); memset(p[i], 0xA5, sizes[i] + 2 * GUARD);",
        "    FILE *f = fopen(name, \"rb\"); if (f) { if (fread(p[i] + GUARD, 1, sizes[i], f) != (size_t)sizes[i]) return 8; fclose(f); }", "  }",
        "  for (int k = 0; k < atoi(argv[1]); k++) {",
        *[f"    for (int part = {parts - 1}; part >= 0; part--) {name}({', '.join(f'p[{k}] + GUARD' for k in arrays)}{', part' * (parts > 1)});"
          for name, arrays, parts in calls],
        "  }", "  for (int i = 0; i < COUNT; i++) for (int g = 0; g < GUARD; g++)",
        "    if (p[i][g] != 0xA5 || p[i][GUARD + sizes[i] + g] != 0xA5) { fprintf(stderr, \"array %d: guard overwritten\\n\", i); return 7; }",
        "  for (unsigned i = 0; i < sizeof outputs / sizeof *outputs; i++) {",
        "    sprintf(name, \"out%u.bin\", i); FILE *f = fopen(name, \"wb\"); fwrite(p[outputs[i]] + GUARD, 1, sizes[outputs[i]], f); fclose(f);",
        "  }", "  return 0; }",
    ]
    return "\n".join(lines) + "\n"


def run_jobs(jobs: list[Job], target: Target, folder: pathlib.Path | None = None, calls: int = 1, wrapper: tuple[str, ...] = ()) -> list[np.ndarray]:
    """The operators' outputs, computed in one process by stages compiled for `target`. `wrapper` goes before the executable (a profiler)."""
    functions, arrays, sizes, outputs, invocations = {}, [], [], [], []

    def add(array: np.ndarray | None, size: int) -> int:
        arrays.append(array)
        sizes.append(size)
        return len(arrays) - 1

    for j, job in enumerate(jobs):
        inputs = [add(a, a.nbytes) for a in job.inputs]
        made: list[int] = []
        for i, stage in enumerate(job.stages):
            functions[f"stage_{j}_{i}"] = stage.function
            arguments = [inputs[k] if k >= 0 else made[-1 - k] for k in stage.inputs] + [add(c, c.nbytes) for c in stage.constants]
            arguments += [add(None, t.bytes) for t in stage.scratch]
            made.append(add(None, stage.output.bytes))
            invocations.append((f"stage_{j}_{i}", [*arguments, made[-1]], stage.parts))
        outputs.append(made[-1])
    with tempfile.TemporaryDirectory() as temporary:
        work = folder or pathlib.Path(temporary)
        sanitizers = ["-fsanitize=undefined", "-fno-sanitize-recover=all"] if target.emit == "c" else []
        if target.emit == "c":
            (work / "stages.c").write_text(kernels_source(functions, target.tvm_target(), "stages")[0])
            subprocess.run(["gcc", *STRICT, *sanitizers, "-O1", "-c", "stages.c"], check=True, cwd=work)
        else:
            build_c_functions(functions, target.tvm_target()).write_to_file(str(work / "stages.o"), "o")
        for i, a in enumerate(arrays):
            if a is not None:
                np.ascontiguousarray(a).tofile(work / f"{i}.bin")
        (work / "main.c").write_text(_main_source(invocations, sizes, outputs))
        chain = target.toolchain
        flags = ["-O1", "-static"] if chain.prefix else ["-O1"]
        subprocess.run([f"{chain.prefix}gcc", *flags, *sanitizers, "main.c", "stages.o", "-lm", "-o", "stages"], check=True, cwd=work)
        emulator = [part.format(cpu=target.emulated_cpu) for part in chain.emulator]
        done = subprocess.run([*emulator, *wrapper, "./stages", str(calls)], cwd=work, capture_output=True, text=True)
        assert done.returncode == 0, f"exit {done.returncode}: {done.stderr[-500:]}"
        return [np.fromfile(work / f"out{j}.bin", job.operator.output.dtype).reshape(job.operator.output.shape) for j, job in enumerate(jobs)]


def run_stages(operator: Operator, stages: tuple[Stage, ...], inputs: list[np.ndarray], target: Target, folder: pathlib.Path | None = None,
               calls: int = 1, wrapper: tuple[str, ...] = ()) -> np.ndarray:
    """The output of one operator."""
    return run_jobs([Job(operator, stages, inputs)], target, folder, calls, wrapper)[0]
