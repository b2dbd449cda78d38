"""Runs a package on arrays."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Callable, Mapping

import numpy as np

from nnc_tvm.run.runner import build_runner, open_package
from nnc_tvm.run.samples import check_inputs, output_shape


def run_package(folder: pathlib.Path, inputs: Mapping[str, np.ndarray], progress: Callable[[str], None] = lambda line: None) -> dict[str, np.ndarray]:
    """The outputs of the package in `folder`, by the model's own names and in its dtypes.

    inputs: an array for each of the model's inputs, of the model's shape, or N samples along a leading axis: (N, rest...) for the
    model's (1, rest...), or (N, shape...). Outputs then have the N samples in front in the same way.
    Raises InvalidInput, MissingTool or ToolFailed.
    """
    manifest = open_package(folder)
    count = check_inputs(manifest, inputs)
    with tempfile.TemporaryDirectory(prefix="nnc-tvm-run-") as temporary:
        work = pathlib.Path(temporary)
        runner = build_runner(folder, work)
        sources = [work / f"in{i}.bin" for i in range(len(manifest.inputs))]
        results = [work / f"out{i}.bin" for i in range(len(manifest.outputs))]
        for tensor, file in zip(manifest.inputs, sources, strict=True):
            np.ascontiguousarray(inputs[tensor.name]).tofile(file)
        where = f" under {runner.tools.emulator[0]}" if runner.tools.emulator else ""
        progress(f"running {count} sample{'s' if count > 1 else ''}{where}")
        runner.run("run", count, [*sources, *results])
        return {tensor.name: np.fromfile(file, tensor.dtype).reshape(output_shape(manifest, inputs, tensor, count))
                for tensor, file in zip(manifest.outputs, results, strict=True)}
