"""What computes the source model: the runtime of its format where that is installed, else the project's own oracle."""

from __future__ import annotations

import importlib
import pathlib
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.frontend.torch_file import ExportedProgram
from nnc_tvm.package.manifest import Manifest
from nnc_tvm.verify.tensor import Tensor


class SourceRunner(Protocol):
    """description: for people. tensors: the source's name of what a layer computes, by the layer's number."""

    @property
    def description(self) -> str: ...
    @property
    def tensors(self) -> Mapping[int, str]: ...

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        """One sample: the tensors above and the model's outputs, by the source's names."""


class Cannot(Exception):
    """A runtime is not installed or refuses the model; the message says why."""


RUNTIMES: dict[str, str] = {"onnx": "onnx_runtime", "tflite": "litert", "torch": "torch_eager"}
"""Format -> the module whose open_source(model, manifest) gives a SourceRunner or raises Cannot."""


def open_source(model: pathlib.Path | ExportedProgram, kind: str, manifest: Manifest) -> tuple[SourceRunner, tuple[str, ...]]:
    """(runner, notes) of a model of format `kind`. Raises NncError where nothing can run it."""
    try:
        runner: SourceRunner = importlib.import_module(f"nnc_tvm.verify.{RUNTIMES[kind]}").open_source(model, manifest)
        return runner, ()
    except (InvalidModel, Unsupported) as error:
        raise type(error)(f"{model.name}: {error}" if isinstance(model, pathlib.Path) else str(error)) from error
    except Cannot as reason:
        note = f"{reason}; compared with nnc-tvm's own reference"
    from nnc_tvm.verify.oracle import open_source as open_oracle

    return open_oracle(model, manifest), (note,)
