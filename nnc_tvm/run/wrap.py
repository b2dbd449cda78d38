"""A package's runner with a function of ours around every kernel, put there by the linker; the package stays as it is."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from nnc_tvm.package.manifest import Kernel, Manifest
from nnc_tvm.run.runner import Runner, build_runner

WRAPPER = """int32_t __real_{symbol}({types});
int32_t __wrap_{symbol}({types});
int32_t __wrap_{symbol}({parameters})
{{
    int32_t result;
    before_kernel();
    result = __real_{symbol}({arguments});
    after_kernel(p{last});
    return result;
}}
"""

IN_PARTS = """int32_t __real_{symbol}({types}, int32_t);
int32_t __wrap_{symbol}({types}, int32_t);
int32_t __wrap_{symbol}({parameters}, int32_t part)
{{
    int32_t result;
    if (__atomic_fetch_add(&begun, 1, __ATOMIC_ACQ_REL) == 0) before_kernel();
    result = __real_{symbol}({arguments}, part);
    if (__atomic_add_fetch(&ended, 1, __ATOMIC_ACQ_REL) == {parts}) {{
        after_kernel(p{last});
        __atomic_store_n(&begun, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&ended, 0, __ATOMIC_RELAXED);
    }}
    return result;
}}
"""
"""Threads meet between kernels: parts that begin and end are those of one."""


def wrapped_runner(folder: pathlib.Path, work: pathlib.Path, manifest: Manifest, prologue: str, options: Sequence[str] = ()) -> Runner:
    """The runner of the package in `folder`, built in `work`.

    prologue: C that defines `static void before_kernel(void)` and `static void after_kernel(const void *output)`, which are called
    around each kernel. options: more arguments for the compiler.
    """
    kernels = {kernel.symbol: kernel for layer in manifest.layers for kernel in layer.kernels}
    counters = "static int begun, ended;\n" if any(kernel.parts > 1 for kernel in kernels.values()) else ""
    (work / "wrappers.c").write_text(prologue + counters + "".join(map(_wrapper, kernels.values())))
    # the graph and the kernels are in different object files, which is what --wrap needs
    return build_runner(folder, work, ["wrappers.c", *options, *(f"-Wl,--wrap={symbol}" for symbol in kernels)])


def _wrapper(kernel: Kernel) -> str:
    """A C function for the linker to call in place of a kernel, whose last pointer is its output."""
    types = ["const void *"] * (kernel.arguments - 1) + ["void *"]
    names = [f"p{i}" for i in range(kernel.arguments)]
    parameters = ", ".join(kind + name for kind, name in zip(types, names, strict=True))
    return (IN_PARTS if kernel.parts > 1 else WRAPPER).format(symbol=kernel.symbol, types=", ".join(types), parameters=parameters, arguments=", ".join(names),
                                                              last=kernel.arguments - 1, parts=kernel.parts)
