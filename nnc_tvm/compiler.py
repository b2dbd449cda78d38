"""compile_model(): front end -> passes -> schedule rules -> package. The map a newcomer reads first."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from nnc_tvm.package.manifest import Manifest
    from nnc_tvm.targets.base import Target

RequantizeOption = Literal["auto", "fixed", "float"]


def compile_model(path: pathlib.Path, target: Target, output: pathlib.Path, name: str | None = None, requantize: RequantizeOption = "auto",
                  batch: int | None = None, progress: Callable[[str], None] = lambda line: None) -> Manifest:
    """Compiles the model file `path` for `target` into the package folder `output`; returns the manifest.

    name: prefix of the package's C symbols, by default made from the file's name. requantize: the meaning of requantization, by
    default the source format's own ("fixed" for TFLite, "float" for ONNX). batch: what a dynamic batch becomes,
    by default 1. progress is told one line per phase.
    Raises InvalidModel, Unsupported, InvalidInput, MissingTool or ToolFailed, each with one line that says what to do.
    """
    # each stage is imported when it runs: `import nnc_tvm` stays fast, and a refused file never loads TVM
    from nnc_tvm.frontend import load
    from nnc_tvm.package import write_package
    from nnc_tvm.package.identifiers import package_name

    progress(f"reading {path.name}")
    source = load(path, batch)
    from nnc_tvm.relay_passes.pipeline import to_program
    from nnc_tvm.relay_passes.schedule_layers import schedule_layers

    program = to_program(source.module, source.default_requantize if requantize == "auto" else requantize)
    progress(f"scheduling {len(program.layers)} layers for {target.kind} {target.mcpu}")
    scheduled = schedule_layers(program, target)
    return write_package(scheduled, source, target, name or package_name(source.name), output, progress)
