"""TFLite models on LiteRT's reference kernels."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from nnc_tvm.frontend.guard import read_model_file
from nnc_tvm.frontend.shapes import one_line
from nnc_tvm.frontend.tflite_checks import check_tflite
from nnc_tvm.frontend.tflite_file import TfliteModel, parse_tflite
from nnc_tvm.package.manifest import Manifest
from nnc_tvm.verify.source import Cannot
from nnc_tvm.verify.tensor import Tensor

RESOLVERS = ("BUILTIN_REF", "BUILTIN_WITHOUT_DEFAULT_DELEGATES")  # the reference kernels lack a few float operators


class LiteRt:
    """See SourceRunner."""

    def __init__(self, model: TfliteModel, manifest: Manifest, interpreter: Any, resolver: str) -> None:
        self.description = f"LiteRT, {resolver}"
        self.interpreter = interpreter
        made = {i for op in model.operators for i in op.outputs if i >= 0}
        labels = {model.tensors[i].label.replace(".", "_"): i for i in sorted(made, reverse=True)}
        spellings = {number: layer.name.replace(".", "_") for number, layer in enumerate(manifest.layers)}
        wanted = {number: labels[spelling] for number, spelling in spellings.items() if spelling in labels}
        self.tensors = {number: model.tensors[i].name for number, i in wanted.items()}
        scales = {i: model.tensors[i].quantization for i in {*wanted.values(), *model.outputs}}
        self.scales = {i: q.scalar() if q is not None and q.per_tensor else (None, None) for i, q in scales.items()}
        self.names = {i: model.tensors[i].name for i in self.scales}

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        for detail in self.interpreter.get_input_details():
            self.interpreter.set_tensor(detail["index"], inputs[detail["name"]])
        self.interpreter.invoke()
        return {name: Tensor(self.interpreter.get_tensor(i), *self.scales[i]) for i, name in self.names.items()}


def open_source(path: pathlib.Path, manifest: Manifest) -> LiteRt:
    """Raises InvalidModel or Unsupported for broken files, Cannot where LiteRT is not installed or refuses the model."""
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError:
        raise Cannot("ai-edge-litert is not installed") from None
    model = parse_tflite(read_model_file(path))
    check_tflite(model)
    problem = ""
    for resolver in RESOLVERS:
        try:
            interpreter = Interpreter(model_path=str(path), experimental_op_resolver_type=OpResolverType[resolver], experimental_preserve_all_tensors=True)
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            problem = problem or one_line(error)
            continue
        return LiteRt(model, manifest, interpreter, resolver)
    raise Cannot(f"LiteRT refuses the model: {problem}")
