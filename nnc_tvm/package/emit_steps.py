"""Lines of src/NAME.c that graphs of one and of several threads share."""

from __future__ import annotations

from nnc_tvm.package.emit_header import macro
from nnc_tvm.package.identifiers import comment
from nnc_tvm.package.layout import Layout, Place
from nnc_tvm.package.manifest import LayerInfo, Manifest, TensorInfo


def constant_prefix(name: str) -> str:
    """What the symbols of constants start with; their number follows."""
    return f"{name}_c"


def checks(manifest: Manifest) -> list[str]:
    """The lines that refuse what a caller may not hand in."""
    prefix = macro(manifest.name)
    return [
        f"    if (in == NULL || out == NULL || arena == NULL) return {prefix}_ERROR_NULL;",
        *(f"    if (in->{t.identifier} == NULL) return {prefix}_ERROR_NULL;" for t in manifest.inputs),
        *(f"    if (out->{t.identifier} == NULL) return {prefix}_ERROR_NULL;" for t in manifest.outputs),
        f"    if ((uintptr_t)arena % {prefix}_ARENA_ALIGNMENT != 0) return {prefix}_ERROR_ARENA_ALIGNMENT;",
        f"    if (arena_bytes < {prefix}_ARENA_BYTES) return {prefix}_ERROR_ARENA_SIZE;",
    ]


def copies(manifest: Manifest, layout: Layout) -> list[str]:
    """The lines that copy what no kernel writes where the caller wants it."""
    prefix = macro(manifest.name)
    lines = ["", "    /* outputs that are also something else */"] if layout.copies else []
    for source, number in layout.copies:
        output = manifest.outputs[number]
        lines.append(f"    memcpy(out->{output.identifier}, {expression(source, manifest)}, {prefix}_OUTPUT_{output.identifier.upper()}_BYTES);")
    return lines


def title(layer: LayerInfo) -> str:
    types = ", ".join(map(_type, layer.inputs))
    macs = f", {layer.macs} MACs" if layer.macs else ""
    alias = "" if layer.kernels else "; the same memory"
    return f'{layer.op} "{comment(layer.name)}": {types} -> {_type(layer.output)}{macs}{alias}'


def _type(tensor: TensorInfo) -> str:
    return f"{tensor.dtype} {'x'.join(map(str, tensor.shape)) or 'scalar'}"


def expression(place: Place, manifest: Manifest) -> str:
    """The C expression of a pointer to the tensor."""
    spelled = {
        "input": lambda k: f"in->{manifest.inputs[k].identifier}",
        "output": lambda k: f"out->{manifest.outputs[k].identifier}",
        "arena": lambda k: f"at + {k}",
        "constant": lambda k: f"{constant_prefix(manifest.name)}{k}",
    }
    return spelled[place.base](place.index) + (f" + part * {place.pitch}" if place.pitch else "")
