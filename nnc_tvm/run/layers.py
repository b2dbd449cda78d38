"""The cost of every layer: the begin and end of each kernel are noted."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Sequence

import numpy as np

from nnc_tvm.package.manifest import Manifest
from nnc_tvm.run.instructions import marks
from nnc_tvm.run.wrap import wrapped_runner

REPEATS = 21

CLOCK = """#include <stdint.h>
#include <stdio.h>
#include <time.h>
static struct timespec moments[MOMENTS];
static int noted;
static void before_kernel(void) { clock_gettime(CLOCK_MONOTONIC, &moments[noted++]); }
static void after_kernel(const void *output) { (void)output; before_kernel(); }
__attribute__((destructor)) static void report(void)
{
    int i;
    for (i = 0; i < noted; i++) printf("%.0f\\n", (double)moments[i].tv_sec * 1e9 + (double)moments[i].tv_nsec);
}
"""

MARK = """#include <stdint.h>
void nnc_mark(void);
__attribute__((noinline)) void nnc_mark(void) { __asm__ volatile("" ::: "memory"); }
static void before_kernel(void) { nnc_mark(); }
static void after_kernel(const void *output) { (void)output; nnc_mark(); }
"""


def layer_milliseconds(folder: pathlib.Path, manifest: Manifest, files: Sequence[pathlib.Path]) -> list[float]:
    """Median milliseconds of each layer of a native package; 0 for layers without a kernel."""
    with tempfile.TemporaryDirectory(prefix="nnc-tvm-layers-") as temporary:
        calls = sum(len(layer.kernels) for layer in manifest.layers)
        runner = wrapped_runner(folder, pathlib.Path(temporary), manifest, f"enum {{ MOMENTS = {2 * calls * (REPEATS + 1)} }};\n{CLOCK}")
        moments = np.array(runner.run("repeat", REPEATS + 1, files).stdout.split(), np.float64).reshape(REPEATS + 1, calls, 2)[1:]
    return _by_layer(manifest, np.median(moments[..., 1] - moments[..., 0], axis=0) / 1e6)


def layer_instructions(folder: pathlib.Path, manifest: Manifest, files: Sequence[pathlib.Path]) -> list[int]:
    """Guest instructions of each layer of a package that runs under an emulator, with a few for each call; 0 for layers without a kernel."""
    with tempfile.TemporaryDirectory(prefix="nnc-tvm-layers-") as temporary:
        runner = wrapped_runner(folder, pathlib.Path(temporary), manifest, MARK)
        counts = np.array(marks(runner, files)).reshape(-1, 2)
    return [int(count) for count in _by_layer(manifest, counts[:, 1] - counts[:, 0])]


def _by_layer(manifest: Manifest, calls: np.ndarray) -> list[float]:
    """The sum over each layer's kernel calls."""
    ends = np.cumsum([len(layer.kernels) for layer in manifest.layers])
    return [float(calls[end - len(layer.kernels) : end].sum()) for layer, end in zip(manifest.layers, ends, strict=True)]
