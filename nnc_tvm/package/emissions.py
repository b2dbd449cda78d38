"""What a package's kernels and constants are written as: machine code in an archive, or C source."""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from nnc_tvm.package.constants import Constants
from nnc_tvm.package.emit_steps import constant_prefix
from nnc_tvm.package.library import build_library, code_and_constants
from nnc_tvm.package.manifest import Manifest
from nnc_tvm.package.toolchain import resolve, thread_flags
from nnc_tvm.targets.base import Emit, Target

if TYPE_CHECKING:
    from tvm import tirx

Functions = dict[str, "tirx.PrimFunc"]


@dataclasses.dataclass(frozen=True)
class Emission:
    """sources, libraries: the package's C files and archives, with "{name}" for its name.

    build: (kernels, constants, manifest, target, folder of the package) -> the manifest with its sizes; writes what the graph, which is in
    the folder already, is built with.
    """

    sources: tuple[str, ...]
    libraries: tuple[str, ...]
    build: Callable[[Functions, Constants, Manifest, Target, pathlib.Path], Manifest]


def build_objects(functions: Functions, constants: Constants, manifest: Manifest, target: Target, folder: pathlib.Path) -> Manifest:
    """Machine code by LLVM and the target's tools. Raises MissingTool and ToolFailed."""
    info = manifest.target
    tools = resolve(info.triple, info.toolchain_prefix, info.emulator, info.debian_packages, (*info.compiler_flags, *thread_flags(manifest.threads)))
    archive, name = folder / manifest.libraries[0], manifest.name
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(temporary)
        libm = build_library(functions, constants, constant_prefix(name), target.tvm_target(), tools, work, archive, target.companion)
        objects = [work / f"source{k}.o" for k in range(len(manifest.sources))]
        for source, made in zip(manifest.sources, objects, strict=True):
            tools.compile(f"-I{folder / 'include'}", "-c", folder / source, "-o", made, folder=work)
        code, weights = code_and_constants([archive, *objects], tools)
    return dataclasses.replace(manifest, code_bytes=code, weights_bytes=weights, libm=libm)


def build_c(functions: Functions, constants: Constants, manifest: Manifest, target: Target, folder: pathlib.Path) -> Manifest:
    """C99 for any compiler; needs no tools. What code it becomes is not known here. Raises Unsupported."""
    from nnc_tvm.package.c_kernels import kernels_source

    title = f"{manifest.name}: {manifest.model.name}".replace("*/", "* /")
    kernels, libm = kernels_source(functions, target.tvm_target(), title)
    _, kernel_file, weight_file, *_ = manifest.sources
    _write_lines(folder / kernel_file, [kernels])
    _write_lines(folder / weight_file, (f"{line}\n" for line in constants.c_source(constant_prefix(manifest.name), title)))
    image, _ = constants.image()
    return dataclasses.replace(manifest, code_bytes=None, weights_bytes=len(image), libm=libm)


def _write_lines(file: pathlib.Path, lines: Iterable[str]) -> None:
    """One after the other: the weights of a large network fill tens of megabytes."""
    with file.open("w", encoding="utf-8") as stream:
        stream.writelines(lines)


EMISSIONS: dict[Emit, Emission] = {
    "obj": Emission(("src/{name}.c",), ("lib/{name}.a",), build_objects),
    "c": Emission(("src/{name}.c", "src/kernels.c", "src/weights.c"), (), build_c),
}
