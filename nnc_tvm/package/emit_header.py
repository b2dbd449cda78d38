"""include/NAME.h: shapes, quantization and sizes as macros, the buffers, the error codes and the one function."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nnc_tvm.package.identifiers import comment
from nnc_tvm.package.manifest import Manifest, Tensor
from nnc_tvm.schedules.operators.operator import TensorType

C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "bool": "uint8_t", "int16": "int16_t", "uint16": "uint16_t", "int32": "int32_t", "uint32": "uint32_t",
           "int64": "int64_t", "uint64": "uint64_t", "float32": "float", "float64": "double"}

ERRORS = (
    ("OK", 0, "the outputs are written"),
    ("ERROR_NULL", -1, "a pointer is NULL: the arena's, a struct's or a buffer's"),
    ("ERROR_ARENA_ALIGNMENT", -2, "the arena does not start at a multiple of {macro}_ARENA_ALIGNMENT"),
    ("ERROR_ARENA_SIZE", -3, "the arena is smaller than {macro}_ARENA_BYTES"),
)
DEVICE = ("ERROR_DEVICE", -4, "the device refused its commands or stopped; the outputs mean nothing")
"""Of packages with a kernel that may fail."""

THREADS_BYTES, MEMBER_BYTES = 512, 32
"""Of a package's threads, and of each of them: enough for any Linux, which src/threads.c checks."""


def macro(name: str) -> str:
    """The prefix of a package's macros."""
    return name.upper()


def c_float(value: float, dtype: str = "float32") -> str:
    """A float32 or float64 as a C literal that reads back as the same number."""
    digits, suffix = (9, "f") if dtype == "float32" else (17, "")
    text = f"{value:.{digits}g}"
    return (text if any(c in text for c in ".e") else text + ".0") + suffix


def header(manifest: Manifest) -> str:
    """The text of include/NAME.h."""
    name, prefix = manifest.name, macro(manifest.name)
    lines = [
        f"/* {name}: {comment(manifest.model.name)} compiled by nnc-tvm for {manifest.target.kind} {manifest.target.mcpu}.", " *",
        f" * Model SHA-256: {manifest.model.sha256}",
        f" * Requantization: {manifest.requantize}. {len(manifest.layers)} layers, {sum(layer.macs for layer in manifest.layers)} multiply-accumulates.", " */",
        f"#ifndef {prefix}_H", f"#define {prefix}_H", "", "#include <stddef.h>", "#include <stdint.h>", "",
        "#ifdef __cplusplus", 'extern "C" {', "#endif", "",
        "/* Working memory, the caller's. Its content means nothing between calls. */",
        f"#define {prefix}_ARENA_BYTES {manifest.arena_bytes}", f"#define {prefix}_ARENA_ALIGNMENT {manifest.arena_alignment}", "",
        f"/* What {name}_run returns. */",
    ]
    may_fail = any(kernel.may_fail for layer in manifest.layers for kernel in layer.kernels)
    for code, value, meaning in (*ERRORS, DEVICE) if may_fail else ERRORS:
        text = f"({value})" if value < 0 else str(value)
        lines.append(f"#define {prefix}_{code} {text} /* {meaning.format(macro=prefix)} */")
    lines.append("")
    for kind, tensors in (("INPUT", manifest.inputs), ("OUTPUT", manifest.outputs)):
        for tensor in tensors:
            lines += _tensor_macros(f"{prefix}_{kind}_{tensor.identifier.upper()}", kind, tensor)
    lines += _struct(f"{name}_inputs", manifest.inputs, "const ") + _struct(f"{name}_outputs", manifest.outputs, "")
    lines += [
        "/* Runs the network once. Buffers hold the elements in row-major order and must not overlap each other or the arena.", " *",
        f" * arena: at least {prefix}_ARENA_BYTES at a multiple of {prefix}_ARENA_ALIGNMENT. Returns {prefix}_OK or an error code,",
        f" * and then nothing is written{' (but for ERROR_DEVICE)' * may_fail}. Re-entrant: calls with different arenas and outputs may run at the",
        " * same time.", " */",
        f"int32_t {name}_run(const {name}_inputs *in, const {name}_outputs *out, void *arena, size_t arena_bytes);", "",
        *(_threads(manifest) if manifest.threads > 1 else []),
        "#ifdef __cplusplus", "}", "#endif", "", f"#endif /* {prefix}_H */",
    ]
    return "\n".join(lines) + "\n"


def _threads(manifest: Manifest) -> list[str]:
    """Declarations for callers that keep the package's threads."""
    name, prefix = manifest.name, macro(manifest.name)
    return [
        f"/* {name}_run starts {prefix}_THREADS - 1 threads beside the caller's and joins them again. Who runs often keeps them in a {name}_threads:",
        " * start, run_threads as often as there is something to run, one at a time, stop. Outputs are the same whatever the number of threads. */",
        f"#define {prefix}_THREADS {manifest.threads}",
        f"typedef union {name}_threads {{", f"    unsigned char bytes[{THREADS_BYTES} + {MEMBER_BYTES} * ({prefix}_THREADS - 1)];", "    uint64_t aligned;",
        f"}} {name}_threads;", "",
        f"/* Starts threads until `count` run with the caller's, at most {prefix}_THREADS. Returns how many do: fewer where the system has no more. */",
        f"int32_t {name}_threads_start({name}_threads *threads, int32_t count);", "",
        f"/* As {name}_run, on threads that were started. */",
        f"int32_t {name}_run_threads({name}_threads *threads, const {name}_inputs *in, const {name}_outputs *out, void *arena, size_t arena_bytes);", "",
        f"/* Ends the threads and waits for them. Returns {prefix}_OK. */",
        f"int32_t {name}_threads_stop({name}_threads *threads);", "",
    ]


def _tensor_macros(prefix: str, kind: str, tensor: Tensor) -> list[str]:
    kept = TensorType(tensor.shape, tensor.dtype)
    lines = [
        f"/* {kind.capitalize()} \"{comment(tensor.name)}\": {tensor.dtype} {'x'.join(map(str, tensor.shape)) or 'scalar'}. */",
        f"#define {prefix}_RANK {len(tensor.shape)}",
        *([f"#define {prefix}_SHAPE {{{', '.join(map(str, tensor.shape))}}}"] if tensor.shape else []),
        f"#define {prefix}_ELEMENTS {math.prod(tensor.shape)}", f"#define {prefix}_BYTES {kept.bytes}",
    ]
    if tensor.scale is not None:
        lines += ["/* real = SCALE * (q - ZERO_POINT) */", f"#define {prefix}_SCALE {c_float(tensor.scale)}"]
        lines.append(f"#define {prefix}_ZERO_POINT ({tensor.zero_point})")
    return [*lines, ""]


def _struct(name: str, tensors: Sequence[Tensor], qualifier: str) -> list[str]:
    fields = [f"    {qualifier}{C_TYPES[t.dtype]} *{t.identifier};" for t in tensors]
    return [f"typedef struct {name} {{", *fields, f"}} {name};", ""]
