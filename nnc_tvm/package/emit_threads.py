"""What a package of several threads has more: src/threads.c and src/threads.h, and the network that threads run together."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nnc_tvm.package.emit_header import macro
from nnc_tvm.package.emit_project import fill
from nnc_tvm.package.emit_steps import checks, copies, expression, title
from nnc_tvm.package.identifiers import comment
from nnc_tvm.package.layout import Layout
from nnc_tvm.package.manifest import Kernel, Manifest

SOURCE = "src/threads.c"


def thread_sources(threads: int) -> tuple[str, ...]:
    """C files beside those of every package."""
    return (SOURCE,) if threads > 1 else ()


def thread_files(manifest: Manifest) -> dict[str, str]:
    """Texts by their place in the package."""
    words = {"NAME": manifest.name, "MACRO": macro(manifest.name)}
    return {f"src/{file}": fill(file, words) for file in ("threads.c", "threads.h")} if manifest.threads > 1 else {}


def threaded_run(manifest: Manifest, layout: Layout) -> list[str]:
    """NAME_run and NAME_run_threads: every thread goes through the network with parts of its own, and meets the others where one needs what another wrote."""
    name = manifest.name
    body = [*steps(manifest, layout), *copies_of_one(manifest, layout)]
    text = "\n".join(body)
    used = {f"const {name}_inputs *const in": "in", f"const {name}_outputs *const out": "out", "unsigned char *const at": "at"}
    held = [f"    {declared} = ((const struct job *)job)->{field};" for declared, field in used.items() if re.search(rf"\b{field}\b", text)]
    part = ["    int32_t part;"] if "part++" in text else []
    arguments = f"const {name}_inputs *in, const {name}_outputs *out, void *arena, size_t arena_bytes"
    return [
        "struct job {", f"    const {name}_inputs *in;", f"    const {name}_outputs *out;", "    unsigned char *at;", "};", "",
        "/* Parts `first` to `last` - 1 of every kernel. What is not in parts belongs to the thread of part 0. */",
        f"static void share(struct {name}_team *team, const void *job, int32_t first, int32_t last)", "{", *held, *part,
        *([] if held else ["    (void)job;"]), *([] if part else ["    (void)last;"]), *([] if f"{name}_meet" in text else ["    (void)team;"]), *body, "}", "",
        f"static int32_t refusal({arguments.replace('void *arena', 'const void *arena')})", "{", *checks(manifest), f"    return {macro(name)}_OK;", "}", "",
        f"int32_t {name}_run_threads({name}_threads *threads, {arguments})", "{",
        "    const struct job job = {in, out, (unsigned char *)arena};",
        f"    const int32_t error = threads == NULL ? {macro(name)}_ERROR_NULL : refusal(in, out, arena, arena_bytes);",
        f"    if (error == {macro(name)}_OK) {name}_share_out(threads, share, &job);", "    return error;", "}", "",
        f"int32_t {name}_run({arguments})", "{", f"    {name}_threads threads;",
        "    int32_t error = refusal(in, out, arena, arena_bytes);",
        f"    if (error != {macro(name)}_OK) return error;", f"    {name}_threads_start(&threads, {macro(name)}_THREADS);",
        f"    error = {name}_run_threads(&threads, in, out, arena, arena_bytes);", f"    {name}_threads_stop(&threads);", "    return error;", "}",
    ]


def steps(manifest: Manifest, layout: Layout) -> Iterator[str]:
    """The calls. Threads meet before and behind each kernel in parts."""
    places = iter(layout.steps)
    before = 0  # parts of the kernel before; none is before the first
    for number, layer in enumerate(manifest.layers, 1):
        yield from ("", f"    /* {number}. {title(layer)} */")
        for kernel in layer.kernels:
            if before and max(before, kernel.parts) > 1:
                yield f"    {manifest.name}_meet(team);"
            arguments = ", ".join(expression(place, manifest) for place in next(places).arguments)
            yield f"    {call(kernel, arguments)} /* {comment(kernel.description)} */"
            before = kernel.parts


def call(kernel: Kernel, arguments: str) -> str:
    """The statement that runs a thread's parts of a kernel."""
    if kernel.parts > 1:
        return f"for (part = first; part < last; part++) {kernel.symbol}({arguments}, part);"
    return f"if (first == 0) {kernel.symbol}({arguments});"


def copies_of_one(manifest: Manifest, layout: Layout) -> Iterator[str]:
    """The copies at the end, on one thread."""
    lines = copies(manifest, layout)
    if lines:
        yield from ("", f"    {manifest.name}_meet(team);", "    if (first != 0) return;", *lines[1:])
