"""torch.export programs on PyTorch, operator by operator."""

from __future__ import annotations

import importlib.util
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from nnc_tvm.frontend.guard import read_model_file
from nnc_tvm.frontend.torch_file import ExportedProgram, parse_pt2, quiet
from nnc_tvm.package.manifest import Manifest
from nnc_tvm.verify.source import Cannot
from nnc_tvm.verify.tensor import EIGHT_BITS, Tensor


class TorchEager:
    """See SourceRunner. Runs the operators that were imported, so that their names are the layers'."""

    def __init__(self, program: ExportedProgram, manifest: Manifest) -> None:
        import torch

        from nnc_tvm.frontend.torch_import import prepared

        self.description = f"PyTorch {torch.__version__}"
        self.prepared = prepared(program)
        nodes = {node.name: node for node in self.prepared.nodes}
        quantized = {node.args[0].name: node for node in self.prepared.nodes if node.target.__name__.startswith("quantize_per_tensor")}
        choices = [{**nodes, **quantized} if layer.output.dtype in EIGHT_BITS else {**quantized, **nodes} for layer in manifest.layers]
        self.wanted = {i: choice[layer.name] for i, (layer, choice) in enumerate(zip(manifest.layers, choices, strict=True)) if layer.name in choice}
        self.tensors = {number: str(node.name) for number, node in self.wanted.items()}
        self.scales = {node: self.scale(node) for node in quantized.values()}

    def scale(self, node: Any) -> tuple[float, int]:
        """(scale, zero point) of a quantize, given as numbers or as constant tensors."""
        scale, zero = (float(self.prepared.constants.get(argument, argument)) for argument in node.args[1:3])
        return scale, int(zero)

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        import torch

        values: dict[Any, Any] = dict(self.prepared.constants)
        values.update({node: torch.from_numpy(np.array(inputs[node.name])) for node in self.prepared.inputs})
        with torch.no_grad(), quiet():
            for node in self.prepared.nodes:
                values[node] = node.target(*torch.fx.map_arg(node.args, values.__getitem__), **torch.fx.map_arg(node.kwargs, values.__getitem__))
        named = {**{str(node.name): node for node in self.wanted.values()}, **dict(self.prepared.outputs)}
        return {name: Tensor(values[node].numpy(), *self.scales.get(node, (None, None))) for name, node in named.items() if hasattr(values[node], "numpy")}


def open_source(model: pathlib.Path | ExportedProgram, manifest: Manifest) -> TorchEager:
    """Raises InvalidModel or Unsupported as `load` does, Cannot where PyTorch is not installed."""
    if importlib.util.find_spec("torch") is None:
        raise Cannot("torch is not installed")
    return TorchEager(parse_pt2(read_model_file(model)) if isinstance(model, pathlib.Path) else model, manifest)
