"""A package's runner with a function of ours around every kernel, put there by the linker; the package stays as it is."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from nnc_tvm.package.manifest import Manifest
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


def wrapped_runner(folder: pathlib.Path, work: pathlib.Path, manifest: Manifest, prologue: str, options: Sequence[str] = ()) -> Runner:
    """The runner of the package in `folder`, built in `work`.

    prologue: C that defines `static void before_kernel(void)` and `static void after_kernel(const void *output)`, which are called
    around each kernel. options: more arguments for the compiler.
    """
    symbols = {kernel.symbol: kernel.arguments for layer in manifest.layers for kernel in layer.kernels}
    (work / "wrappers.c").write_text(prologue + "".join(_wrapper(symbol, count) for symbol, count in symbols.items()))
    # the graph and the kernels are in different object files, which is what --wrap needs
    return build_runner(folder, work, ["wrappers.c", *options, *(f"-Wl,--wrap={symbol}" for symbol in symbols)])


def _wrapper(symbol: str, count: int) -> str:
    """A C function for the linker to call in place of a kernel of `count` pointers, the last of which is its output."""
    types = ["const void *"] * (count - 1) + ["void *"]
    names = [f"p{i}" for i in range(count)]
    parameters = ", ".join(kind + name for kind, name in zip(types, names, strict=True))
    return WRAPPER.format(symbol=symbol, types=", ".join(types), parameters=parameters, arguments=", ".join(names), last=count - 1)
