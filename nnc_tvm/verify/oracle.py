"""Any model on nnc-tvm's own NumPy reference."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Literal, cast

import numpy as np

from nnc_tvm.frontend import SourceModel, load
from nnc_tvm.frontend.torch_file import ExportedProgram
from nnc_tvm.package.manifest import Manifest
from nnc_tvm.relay_passes.program import Layer
from nnc_tvm.schedules.operators import Conv2d, Dense
from nnc_tvm.verify.tensor import Tensor

CHAIN = "chain"
"""The package may compute several layers in one, under the name of the last."""


def is_named(layer: Layer, kind: str) -> bool:
    """Whether a package's layer of that kind, under the layer's name, computes what it does."""
    return kind != CHAIN or isinstance(layer.operator, Conv2d | Dense)


class Oracle:
    """See SourceRunner."""

    description = "nnc-tvm's reference in NumPy"

    def __init__(self, source: SourceModel, manifest: Manifest) -> None:
        from nnc_tvm.relay_passes.pipeline import to_program

        self.program = to_program(source.module, cast(Literal["fixed", "float"], manifest.requantize))
        made = {(layer.name, kind): layer.output for layer in self.program.layers for kind in (layer.operator.kind, CHAIN) if is_named(layer, kind)}
        self.tensors = {i: made[layer.name, layer.op] for i, layer in enumerate(manifest.layers) if (layer.name, layer.op) in made}
        self.outputs = dict(zip((t.name for t in source.outputs), self.program.outputs, strict=True))
        self.inputs = dict(zip(self.program.inputs, (t.name for t in source.inputs), strict=True))

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        from nnc_tvm.reference import run_program

        values = run_program(self.program, {ours: inputs[name] for ours, name in self.inputs.items()})
        names = {name: name for name in self.tensors.values()} | self.outputs
        described = {name: self.program.values[value] for name, value in names.items()}
        return {name: Tensor(values[names[name]], value.scale, value.zero_point) for name, value in described.items()}


def open_source(model: pathlib.Path | ExportedProgram, manifest: Manifest) -> Oracle:
    """Raises InvalidModel or Unsupported as `load` does."""
    batch = {t.shape[0] for t in manifest.inputs if t.shape}
    source = load(model)
    if len(batch) == 1 and [t.shape for t in source.inputs] != [t.shape for t in manifest.inputs]:
        source = load(model, batch.pop())
    return Oracle(source, manifest)
