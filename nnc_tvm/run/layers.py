"""The cost of every layer: the linker puts a function around each kernel that notes its begin and end; the package stays as it is."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Sequence

import numpy as np

from nnc_tvm.package.manifest import Manifest
from nnc_tvm.run.instructions import marks
from nnc_tvm.run.runner import Runner, build_runner

REPEATS = 21

CLOCK = """#include <stdint.h>
#include <stdio.h>
#include <time.h>
static struct timespec moments[MOMENTS];
static int noted;
static void begin_or_end(void) { clock_gettime(CLOCK_MONOTONIC, &moments[noted++]); }
__attribute__((destructor)) static void report(void)
{
    int i;
    for (i = 0; i < noted; i++) printf("%.0f\\n", (double)moments[i].tv_sec * 1e9 + (double)moments[i].tv_nsec);
}
"""

MARK = """#include <stdint.h>
void nnc_mark(void);
__attribute__((noinline)) void nnc_mark(void) { __asm__ volatile("" ::: "memory"); }
static void begin_or_end(void) { nnc_mark(); }
"""

WRAPPER = """int32_t __real_{symbol}({types});
int32_t __wrap_{symbol}({types});
int32_t __wrap_{symbol}({parameters})
{{
    int32_t result;
    begin_or_end();
    result = __real_{symbol}({arguments});
    begin_or_end();
    return result;
}}
"""


def layer_milliseconds(folder: pathlib.Path, manifest: Manifest, files: Sequence[pathlib.Path]) -> list[float]:
    """Median milliseconds of each layer of a native package; 0 for layers without a kernel."""
    with tempfile.TemporaryDirectory(prefix="nnc-tvm-layers-") as temporary:
        calls = sum(len(layer.kernels) for layer in manifest.layers)
        runner = _build(folder, pathlib.Path(temporary), manifest, f"enum {{ MOMENTS = {2 * calls * (REPEATS + 1)} }};\n{CLOCK}")
        moments = np.array(runner.run("repeat", REPEATS + 1, files).stdout.split(), np.float64).reshape(REPEATS + 1, calls, 2)[1:]
    return _by_layer(manifest, np.median(moments[..., 1] - moments[..., 0], axis=0) / 1e6)


def layer_instructions(folder: pathlib.Path, manifest: Manifest, files: Sequence[pathlib.Path]) -> list[int]:
    """Guest instructions of each layer of a package that runs under an emulator, with a few for each call; 0 for layers without a kernel."""
    with tempfile.TemporaryDirectory(prefix="nnc-tvm-layers-") as temporary:
        runner = _build(folder, pathlib.Path(temporary), manifest, MARK)
        counts = np.array(marks(runner, files)).reshape(-1, 2)
    return [int(count) for count in _by_layer(manifest, counts[:, 1] - counts[:, 0])]


def _by_layer(manifest: Manifest, calls: np.ndarray) -> list[float]:
    """The sum over each layer's kernel calls."""
    ends = np.cumsum([len(layer.kernels) for layer in manifest.layers])
    return [float(calls[end - len(layer.kernels) : end].sum()) for layer, end in zip(manifest.layers, ends, strict=True)]


def _build(folder: pathlib.Path, work: pathlib.Path, manifest: Manifest, prologue: str) -> Runner:
    """The package's runner with every kernel wrapped."""
    symbols = {kernel.symbol: kernel.arguments for layer in manifest.layers for kernel in layer.kernels}
    (work / "wrappers.c").write_text(prologue + "".join(_wrapper(symbol, count) for symbol, count in symbols.items()))
    # the graph and the kernels are in different object files, which is what --wrap needs
    return build_runner(folder, work, ["wrappers.c", *(f"-Wl,--wrap={symbol}" for symbol in symbols)])


def _wrapper(symbol: str, count: int) -> str:
    """A C function for the linker to call in place of a kernel of `count` pointers."""
    types = ["const void *"] * (count - 1) + ["void *"]
    names = [f"p{i}" for i in range(count)]
    parameters = ", ".join(kind + name for kind, name in zip(types, names, strict=True))
    return WRAPPER.format(symbol=symbol, types=", ".join(types), parameters=parameters, arguments=", ".join(names))
