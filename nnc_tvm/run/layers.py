"""The time of every layer: each kernel is wrapped by the linker in a function that reads the clock; the package stays as it is."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Sequence

import numpy as np

from nnc_tvm.package.manifest import Manifest
from nnc_tvm.run.runner import build_runner

REPEATS = 21


def layer_milliseconds(folder: pathlib.Path, manifest: Manifest, files: Sequence[pathlib.Path]) -> list[float]:
    """Median milliseconds of each layer of the package in `folder`; 0 for layers without a kernel."""
    symbols = {kernel.symbol: kernel.arguments for layer in manifest.layers for kernel in layer.kernels}
    calls = sum(len(layer.kernels) for layer in manifest.layers)
    with tempfile.TemporaryDirectory(prefix="nnc-tvm-layers-") as temporary:
        work = pathlib.Path(temporary)
        (work / "clock.c").write_text(_wrappers(symbols))
        runner = build_runner(folder, work, ["clock.c", *(f"-Wl,--wrap={symbol}" for symbol in symbols)])
        lines = runner.run("repeat", REPEATS + 1, files).stdout.split()
    times = np.array(lines, np.float64).reshape(REPEATS + 1, calls)[1:]
    medians = iter(np.median(times, axis=0) / 1e6)
    return [sum(float(next(medians)) for _ in layer.kernels) for layer in manifest.layers]


def _wrappers(symbols: dict[str, int]) -> str:
    """C source: for each kernel the function that the linker calls in its place, which prints the nanoseconds of the call."""
    lines = [
        "#define _POSIX_C_SOURCE 200809L", "#include <stdint.h>", "#include <stdio.h>", "#include <time.h>",
        "static double now(void)", "{", "    struct timespec t;", "    clock_gettime(CLOCK_MONOTONIC, &t);",
        "    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;", "}",
    ]
    for symbol, count in symbols.items():
        types = ", ".join(["const void *"] * (count - 1) + ["void *"])
        parameters = ", ".join([f"const void *p{i}" for i in range(count - 1)] + [f"void *p{count - 1}"])
        arguments = ", ".join(f"p{i}" for i in range(count))
        lines += [
            f"int32_t __real_{symbol}({types});", f"int32_t __wrap_{symbol}({types});", f"int32_t __wrap_{symbol}({parameters})", "{",
            "    double start = now();", f"    int32_t result = __real_{symbol}({arguments});",
            '    printf("%.0f\\n", now() - start);', "    return result;", "}",
        ]
    return "\n".join(lines) + "\n"
