"""What every layer of a package computes: the outputs of its kernels, and of an NPU's jobs, are recorded as it runs."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import BinaryIO

import numpy as np

from nnc_tvm.package.manifest import LayerInfo, Manifest
from nnc_tvm.run.npu_record import OPTIONS as NPU_OPTIONS
from nnc_tvm.run.npu_record import SOURCE as NPU_SOURCE
from nnc_tvm.run.npu_record import assemble, jobs_of, recorded_bytes, spread_layers
from nnc_tvm.run.runner import Runner, open_package
from nnc_tvm.run.samples import check_inputs
from nnc_tvm.run.wrap import wrapped_runner

CHUNK_BYTES = 64 << 20  # recorded at a time: large networks on many samples must not fill the disk

PROLOGUE = """#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* for each kernel call of an inference, the bytes of its output that are recorded: those of the last kernel of a layer */
static const unsigned long recorded[] = {{{sizes}}};
static unsigned long call;
static FILE *file;
static void record(const void *output, unsigned long bytes)
{{
    if (file == NULL) file = fopen("layers.bin", "wb");
    if (file == NULL || fwrite(output, 1, bytes, file) != bytes) {{
        perror("layers.bin");
        exit(2);
    }}
}}
static void before_kernel(void) {{}}
static void after_kernel(const void *output) {{ record(output, recorded[call++ % (sizeof recorded / sizeof recorded[0])]); }}
__attribute__((destructor)) static void finish(void) {{ if (file != NULL) fclose(file); }}
"""


def layer_values(folder: pathlib.Path, inputs: Mapping[str, np.ndarray]) -> Iterator[list[np.ndarray | None]]:
    """For each sample in turn the output of every layer of `spread_layers`, in its shape and dtype; None for layers without a kernel.

    inputs: as `run_package` takes them. Raises InvalidInput, MissingTool or ToolFailed.
    """
    with tempfile.TemporaryDirectory(prefix="nnc-tvm-record-") as temporary:
        work = pathlib.Path(temporary)
        manifest = open_package(folder)
        prologue = PROLOGUE.format(sizes=", ".join(map(str, _sizes(manifest))))
        if manifest.npu is not None and manifest.npu.commands:
            runner = wrapped_runner(folder, work, manifest, prologue + NPU_SOURCE.read_text(encoding="utf-8"), NPU_OPTIONS)
        else:
            runner = wrapped_runner(folder, work, manifest, prologue)
        count = check_inputs(manifest, inputs)
        stacked = {t.name: np.ascontiguousarray(inputs[t.name]).reshape(count, *t.shape) for t in manifest.inputs}
        chunk = max(1, CHUNK_BYTES // max(1, sum(_bytes(layer) for layer in spread_layers(manifest))))
        for start in range(0, count, chunk):
            samples = {name: array[start : start + chunk] for name, array in stacked.items()}
            yield from _run(runner, samples, min(chunk, count - start))


def _run(runner: Runner, samples: Mapping[str, np.ndarray], count: int) -> Iterator[list[np.ndarray | None]]:
    """The layers' outputs on `count` samples, from one run."""
    manifest = runner.manifest
    sources = [runner.work / f"in{i}.bin" for i in range(len(manifest.inputs))]
    results = [runner.work / f"out{i}.bin" for i in range(len(manifest.outputs))]
    for tensor, path in zip(manifest.inputs, sources, strict=True):
        samples[tensor.name].tofile(path)
    recording = runner.work / "layers.bin"
    recording.write_bytes(b"")  # a package without kernels records nothing
    runner.run("run", count, [*sources, *results])
    with recording.open("rb") as file:
        for _ in range(count):
            yield [value for number, layer in enumerate(manifest.layers) for value in _read(file, manifest, number, layer)]


def _read(file: BinaryIO, manifest: Manifest, number: int, layer: LayerInfo) -> list[np.ndarray] | list[np.ndarray | None]:
    """The value of a layer of the host, or of every layer of a network."""
    jobs = jobs_of(manifest, number)
    if jobs:
        return assemble(manifest, jobs, file.read(recorded_bytes(jobs)))
    return [_value(file.read(_bytes(layer)), layer)]


def _value(data: bytes, layer: LayerInfo) -> np.ndarray | None:
    return np.frombuffer(data, layer.output.dtype).reshape(layer.output.shape) if layer.kernels else None


def _bytes(layer: LayerInfo) -> int:
    """What is recorded of a layer."""
    return int(np.prod(layer.output.shape, dtype=np.int64)) * np.dtype(layer.output.dtype).itemsize if layer.kernels else 0


def _sizes(manifest: Manifest) -> list[int]:
    """Recorded bytes of every call in execution order; 0 for scratch between the kernels of a layer, and where the NPU's jobs are recorded."""
    sizes = [size for number, layer in enumerate(manifest.layers)
             for size in [0] * (len(layer.kernels) - 1) + [0 if jobs_of(manifest, number) else _bytes(layer)] * bool(layer.kernels)]
    return sizes or [0]
