"""example/main.c, Makefile and CMakeLists.txt: what makes a package build and run by itself. The texts are in templates/."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

from nnc_tvm.package.emit_header import C_TYPES, c_float, macro
from nnc_tvm.package.identifiers import comment
from nnc_tvm.package.manifest import Manifest, Tensor
from nnc_tvm.package.toolchain import thread_flags

TEMPLATES = pathlib.Path(__file__).parent / "templates"


def fill(template: str, words: Mapping[str, str]) -> str:
    """The template file with every @WORD@ replaced."""
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text


def example(manifest: Manifest) -> str:
    """The text of example/main.c."""
    prefix = macro(manifest.name)
    dtypes = sorted({t.dtype for t in manifest.inputs})
    out_dtypes = sorted({t.dtype for t in manifest.outputs})
    inputs = [f'        {{"{t.identifier}", {prefix}_INPUT_{t.identifier.upper()}_BYTES, in_{t.identifier}}},' for t in manifest.inputs]
    memory = [f"static {C_TYPES[t.dtype]} in_{t.identifier}[{prefix}_INPUT_{t.identifier.upper()}_ELEMENTS];" for t in manifest.inputs]
    memory += [f"static {C_TYPES[t.dtype]} out_{t.identifier}[{prefix}_OUTPUT_{t.identifier.upper()}_ELEMENTS];" for t in manifest.outputs]
    return fill("main.c", {
        "NAME": manifest.name, "MACRO": prefix, "MEMORY": "\n".join(memory), "COUNT": str(len(manifest.inputs)),
        "PATTERNS": "\n".join(_pattern(dtype) for dtype in dtypes),
        "SHOWS": "\n".join(_show(dtype) for dtype in out_dtypes),
        "BUFFERS": "\n".join(inputs),
        "FILL": "\n".join(f"        pattern_{t.dtype}(in_{t.identifier}, {prefix}_INPUT_{t.identifier.upper()}_ELEMENTS);" for t in manifest.inputs),
        "IN": ", ".join(f"in_{t.identifier}" for t in manifest.inputs), "OUT": ", ".join(f"out_{t.identifier}" for t in manifest.outputs),
        "SHOW": "\n".join(_show_call(prefix, t) for t in manifest.outputs),
    })


def _pattern(dtype: str) -> str:
    """A C function that fills a buffer with values all over the dtype's range, always the same."""
    integer = f"({C_TYPES[dtype]})(i * 37 % 256 - {128 * (not dtype.startswith('u'))})"
    value = {"float32": "(float)(i % 201) / 100.0f - 1.0f", "float64": "(double)(i % 201) / 100.0 - 1.0", "bool": "(uint8_t)(i % 2)"}.get(dtype, integer)
    return fill("pattern.c", {"DTYPE": dtype, "TYPE": C_TYPES[dtype], "VALUE": value})


def _show(dtype: str) -> str:
    """A C function that prints the first elements of an output and its largest one."""
    return fill("show.c", {"DTYPE": dtype, "TYPE": C_TYPES[dtype]})


def _show_call(prefix: str, tensor: Tensor) -> str:
    quantization = f"{c_float(tensor.scale)}, {tensor.zero_point}" if tensor.scale is not None else "1.0f, 0"
    return f'    show_{tensor.dtype}("{tensor.identifier}", out_{tensor.identifier}, {prefix}_OUTPUT_{tensor.identifier.upper()}_ELEMENTS, {quantization});'


def makefile(manifest: Manifest) -> str:
    """The text of Makefile."""
    target = manifest.target
    return fill("Makefile", {
        "NAME": manifest.name, "ARCH": target.triple.split("-")[0], "PREFIX": target.toolchain_prefix, "EMULATOR": " ".join(target.emulator),
        "SOURCES": " ".join(manifest.sources), "LIBRARIES": " ".join(manifest.libraries),
        "STATIC": "-static" if target.emulator else "", "LIBS": "-lm" if manifest.libm else "", "FLAGS": " ".join(("-O2", *target.compiler_flags)),
        "PACKAGES": " ".join(target.debian_packages), "DIALECT": " ".join(thread_flags(manifest.threads)) or "-std=c99",
    })


def cmake(manifest: Manifest) -> str:
    """The text of CMakeLists.txt."""
    model, target, threaded = comment(manifest.model.name), manifest.target, manifest.threads > 1
    libraries = [*(f"${{CMAKE_CURRENT_SOURCE_DIR}}/{file}" for file in manifest.libraries), *["m"] * bool(manifest.libm), *["Threads::Threads"] * threaded]
    return fill("CMakeLists.txt", {
        "NAME": manifest.name, "SOURCES": " ".join(manifest.sources), "OPTIONS": "".join(f" {flag}" for flag in target.compiler_flags),
        "LIBRARIES": "".join(f" {library}" for library in libraries),
        "STANDARD": "11" if threaded else "99", "PACKAGES": "\nset(THREADS_PREFER_PTHREAD_FLAG ON)\nfind_package(Threads REQUIRED)" * threaded,
        "MODEL": model, "KIND": manifest.target.kind})
