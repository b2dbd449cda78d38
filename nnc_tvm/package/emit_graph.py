"""src/NAME.c: the network as straight-line kernel calls over a planned arena."""

from __future__ import annotations

from collections.abc import Sequence

from nnc_tvm.package.emit_header import C_TYPES, macro
from nnc_tvm.package.identifiers import comment
from nnc_tvm.package.layout import Layout, Place
from nnc_tvm.package.manifest import LayerInfo, Manifest, TensorInfo


def constant_prefix(name: str) -> str:
    """What the symbols of constants start with; their number follows."""
    return f"{name}_c"


def graph(manifest: Manifest, layout: Layout, constant_types: Sequence[str]) -> str:
    """The text of src/NAME.c. constant_types: the dtype of each constant."""
    name, prefix = manifest.name, macro(manifest.name)
    others = " and ".join(manifest.libraries or manifest.sources[1:])
    lines = [
        f"/* {name}: the network, layer by layer. Kernels and constants are in {others}. */", f'#include "{name}.h"', "",
        *(["#include <string.h>", ""] if layout.copies else []),
        *_declarations(manifest, layout, constant_types),
        f"int32_t {name}_run(const {name}_inputs *in, const {name}_outputs *out, void *arena, size_t arena_bytes)", "{",
        *(["    unsigned char *const at = (unsigned char *)arena;", ""] if layout.arena.offsets else []),
        f"    if (in == NULL || out == NULL || arena == NULL) return {prefix}_ERROR_NULL;",
    ]
    lines += [f"    if (in->{t.identifier} == NULL) return {prefix}_ERROR_NULL;" for t in manifest.inputs]
    lines += [f"    if (out->{t.identifier} == NULL) return {prefix}_ERROR_NULL;" for t in manifest.outputs]
    lines += [
        f"    if ((uintptr_t)arena % {prefix}_ARENA_ALIGNMENT != 0) return {prefix}_ERROR_ARENA_ALIGNMENT;",
        f"    if (arena_bytes < {prefix}_ARENA_BYTES) return {prefix}_ERROR_ARENA_SIZE;",
    ]
    steps = iter(layout.steps)
    for number, layer in enumerate(manifest.layers, 1):
        lines += ["", f"    /* {number}. {_title(layer)} */"]
        for kernel in layer.kernels:
            arguments = [_expression(place, manifest) for place in next(steps).arguments]
            lines.append(f"    {kernel.symbol}({', '.join(arguments)}); /* {comment(kernel.description)} */")
            if kernel.may_fail:
                lines.append(f"    if (*(const int32_t *)(const void *)({arguments[-2]}) != 0) return {prefix}_ERROR_DEVICE;")
    if layout.copies:
        lines += ["", "    /* outputs that are also something else */"]
    for source, number in layout.copies:
        output = manifest.outputs[number]
        lines.append(f"    memcpy(out->{output.identifier}, {_expression(source, manifest)}, {prefix}_OUTPUT_{output.identifier.upper()}_BYTES);")
    lines += ["", f"    return {prefix}_OK;", "}"]
    return "\n".join(lines) + "\n"


def _declarations(manifest: Manifest, layout: Layout, constant_types: Sequence[str]) -> list[str]:
    """Prototypes of the kernels (inputs, constants, scratch, output) and of the constants."""
    arguments = {kernel.symbol: kernel.arguments for layer in manifest.layers for kernel in layer.kernels}
    lines = [f"int32_t {symbol}({', '.join(['const void *'] * (count - 1) + ['void *'])});" for symbol, count in arguments.items()]
    sources = [place for step in layout.steps for place in step.arguments] + [source for source, _ in layout.copies]
    constants = sorted({place.index for place in sources if place.base == "constant"})
    if constants:
        lines += ["", "/* weights, biases, tables: as the kernels read them */"]
        lines += [f"extern const {C_TYPES[constant_types[number]]} {constant_prefix(manifest.name)}{number}[];" for number in constants]
    return [*lines, ""]


def _title(layer: LayerInfo) -> str:
    types = ", ".join(map(_type, layer.inputs))
    macs = f", {layer.macs} MACs" if layer.macs else ""
    alias = "" if layer.kernels else "; the same memory"
    return f'{layer.op} "{comment(layer.name)}": {types} -> {_type(layer.output)}{macs}{alias}'


def _type(tensor: TensorInfo) -> str:
    return f"{tensor.dtype} {'x'.join(map(str, tensor.shape)) or 'scalar'}"


def _expression(place: Place, manifest: Manifest) -> str:
    """The C expression of a pointer to the tensor."""
    spelled = {
        "input": lambda k: f"in->{manifest.inputs[k].identifier}",
        "output": lambda k: f"out->{manifest.outputs[k].identifier}",
        "arena": lambda k: f"at + {k}",
        "constant": lambda k: f"{constant_prefix(manifest.name)}{k}",
    }
    return spelled[place.base](place.index)
