"""src/NAME.c: the network as straight-line kernel calls over a planned arena."""

from __future__ import annotations

from collections.abc import Sequence

from nnc_tvm.package.emit_header import C_TYPES, macro
from nnc_tvm.package.emit_steps import checks, constant_prefix, copies, expression, title
from nnc_tvm.package.emit_threads import threaded_run
from nnc_tvm.package.identifiers import comment
from nnc_tvm.package.layout import Layout
from nnc_tvm.package.manifest import Kernel, Manifest


def graph(manifest: Manifest, layout: Layout, constant_types: Sequence[str]) -> str:
    """The text of src/NAME.c. constant_types: the dtype of each constant."""
    name = manifest.name
    others = " and ".join(manifest.libraries or manifest.sources[1:3])
    threaded = manifest.threads > 1
    lines = [
        f"/* {name}: the network, layer by layer. Kernels and constants are in {others}. */", f'#include "{name}.h"', *['#include "threads.h"'] * threaded, "",
        *(["#include <string.h>", ""] if layout.copies else []),
        *_declarations(manifest, layout, constant_types), *(threaded_run(manifest, layout) if threaded else _run(manifest, layout)),
    ]
    return "\n".join(lines) + "\n"


def _run(manifest: Manifest, layout: Layout) -> list[str]:
    """NAME_run on one thread."""
    name, prefix = manifest.name, macro(manifest.name)
    lines = [
        f"int32_t {name}_run(const {name}_inputs *in, const {name}_outputs *out, void *arena, size_t arena_bytes)", "{",
        *(["    unsigned char *const at = (unsigned char *)arena;", ""] if layout.arena.offsets else []), *checks(manifest),
    ]
    steps = iter(layout.steps)
    for number, layer in enumerate(manifest.layers, 1):
        lines += ["", f"    /* {number}. {title(layer)} */"]
        for kernel in layer.kernels:
            arguments = [expression(place, manifest) for place in next(steps).arguments]
            lines.append(f"    {kernel.symbol}({', '.join(arguments)}); /* {comment(kernel.description)} */")
            if kernel.may_fail:
                lines.append(f"    if (*(const int32_t *)(const void *)({arguments[-2]}) != 0) return {prefix}_ERROR_DEVICE;")
    lines += copies(manifest, layout)
    return [*lines, "", f"    return {prefix}_OK;", "}"]


def _declarations(manifest: Manifest, layout: Layout, constant_types: Sequence[str]) -> list[str]:
    """Prototypes of the kernels (inputs, constants, scratch, output) and of the constants."""
    kernels = {kernel.symbol: kernel for layer in manifest.layers for kernel in layer.kernels}
    lines = [f"int32_t {symbol}({', '.join(parameters(kernel))});" for symbol, kernel in kernels.items()]
    sources = [place for step in layout.steps for place in step.arguments] + [source for source, _ in layout.copies]
    constants = sorted({place.index for place in sources if place.base == "constant"})
    if constants:
        lines += ["", "/* weights, biases, tables: as the kernels read them */"]
        lines += [f"extern const {C_TYPES[constant_types[number]]} {constant_prefix(manifest.name)}{number}[];" for number in constants]
    return [*lines, ""]


def parameters(kernel: Kernel) -> list[str]:
    """The types of a kernel's parameters."""
    return ["const void *"] * (kernel.arguments - 1) + ["void *"] + ["int32_t"] * (kernel.parts > 1)
