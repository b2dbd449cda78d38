"""verify_package(): the package and its source on the same inputs. The map of this folder."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import time
from collections.abc import Callable, Mapping

import numpy as np

from nnc_tvm.errors import InvalidInput
from nnc_tvm.frontend.guard import read_model_file
from nnc_tvm.frontend.shapes import one_line
from nnc_tvm.frontend.torch_file import ExportedProgram, digest
from nnc_tvm.package.manifest import Manifest
from nnc_tvm.run.execute import run_package
from nnc_tvm.run.npu_record import spread_layers
from nnc_tvm.run.record import layer_values
from nnc_tvm.run.runner import open_package
from nnc_tvm.run.samples import check_inputs
from nnc_tvm.verify.compare import Accumulator, LayerDifference, OutputDifference, Verification
from nnc_tvm.verify.source import SourceRunner, open_source
from nnc_tvm.verify.tensor import Tensor

SECONDS_BETWEEN_REPORTS = 5.0


def verify_package(folder: pathlib.Path, model: pathlib.Path | ExportedProgram, inputs: Mapping[str, np.ndarray],
                   progress: Callable[[str], None] = lambda line: None) -> Verification:
    """Runs the package in `folder` and the `model` on `inputs` and compares all layers and outputs.

    model: a file or a torch.export program; what the package was compiled from, or another model of the same inputs and outputs (the
    float original of a quantized one).
    inputs: by name, as `run_package` takes them. The layers' values are the package's own, recorded as it runs, under the emulator
    where its CPU is foreign. Raises InvalidInput, InvalidModel, Unsupported, MissingTool or ToolFailed.
    """
    manifest = open_package(folder)
    manifest = dataclasses.replace(manifest, layers=spread_layers(manifest))
    count = check_inputs(manifest, inputs)
    name, kind, sha256 = identify(model)
    progress(f"opening {name}")
    runner, notes = open_source(model, kind, manifest)
    outputs = run_package(folder, inputs, progress)
    stacked = {t.name: np.ascontiguousarray(inputs[t.name]).reshape(count, *t.shape) for t in manifest.inputs}
    results = {t.name: outputs[t.name].reshape(count, *t.shape) for t in manifest.outputs}
    layers = {i: Accumulator() for i, layer in enumerate(manifest.layers) if i in runner.tensors and layer.kernels}
    finals = [Accumulator() for _ in manifest.outputs]
    progress(f"comparing {count} sample{'s' if count > 1 else ''} with {runner.description}")
    told = time.monotonic()
    for number, values in enumerate(layer_values(folder, inputs)):
        theirs = _run_source(runner, {key: array[number] for key, array in stacked.items()}, name)
        for i in list(layers):
            ours, other = values[i], theirs.get(runner.tensors[i])
            info = manifest.layers[i].output
            if ours is None or other is None or not layers[i].add(Tensor(ours, info.scale, info.zero_point), other):
                del layers[i]
        for tensor, final in zip(manifest.outputs, finals, strict=True):
            other = theirs.get(tensor.name)
            if other is None or not final.add(Tensor(results[tensor.name][number], tensor.scale, tensor.zero_point), other):
                raise InvalidInput(f"{name}: has no output '{tensor.name}' of {tensor.shape} as the package {folder} has; give the model it comes from")
        if time.monotonic() - told > SECONDS_BETWEEN_REPORTS:
            told = time.monotonic()
            progress(f"{number + 1} of {count} samples")
    return _verification(manifest, runner, sha256 == manifest.model.sha256, count, finals, layers, notes)


def identify(model: pathlib.Path | ExportedProgram) -> tuple[str, str, str]:
    """(name, format, SHA-256) of a model; the hash is over the file and the external weight files it names."""
    if not isinstance(model, pathlib.Path):
        return "the exported program", "torch", digest(model)[0]
    file = read_model_file(model)
    contents = [file.data]
    if file.format == "onnx":
        from nnc_tvm.frontend.onnx_external import load_external_data
        from nnc_tvm.frontend.onnx_file import parse_onnx

        contents += load_external_data(parse_onnx(file), file.path)
    return model.name, file.format, hashlib.sha256(b"".join(contents)).hexdigest()


def _run_source(runner: SourceRunner, inputs: Mapping[str, np.ndarray], name: str) -> dict[str, Tensor]:
    """One sample. Raises InvalidInput where the model takes other inputs than the package."""
    try:
        return runner.run(inputs)
    except Exception as error:  # each runtime raises classes of its own
        raise InvalidInput(f"{name}: {runner.description} cannot run it on the package's inputs ({one_line(error)}); "
                           "give the model that the package was compiled from") from error


def _verification(manifest: Manifest, runner: SourceRunner, same: bool, count: int, finals: list[Accumulator], layers: dict[int, Accumulator],
                  notes: tuple[str, ...]) -> Verification:
    outputs = tuple(OutputDifference(**dataclasses.asdict(a.result()), name=t.name, argmax_agreement=a.agreements / a.samples)
                    for t, a in zip(manifest.outputs, finals, strict=True))
    rows = tuple(LayerDifference(**dataclasses.asdict(a.result()), index=i, name=manifest.layers[i].name, op=manifest.layers[i].op,
                                 source=runner.tensors[i]) for i, a in layers.items())
    missing = tuple(layer.name for i, layer in enumerate(manifest.layers) if i not in layers and layer.kernels)
    if not same:
        notes = (*notes, f"the package was compiled from other bytes ({manifest.model.name}, SHA-256 {manifest.model.sha256[:12]}...)")
    return Verification(manifest.name, runner.description, same, count, min((o.argmax_agreement for o in outputs), default=1.0),
                        all(o.exact for o in outputs), outputs, rows, missing, notes)
