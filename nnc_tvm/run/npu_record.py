"""Layers inside an NPU's networks: their place among the package's layers, and what is recorded of them as it runs job by job."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np

from nnc_tvm.package.manifest import Kernel, LayerInfo, Manifest, TensorInfo
from nnc_tvm.package.npu_info import NpuCommand, NpuLayer
from nnc_tvm.targets.npu.target import RUNTIME

SOURCE = pathlib.Path(__file__).parent / "npu_record.c"
OPTIONS = (f"-I{RUNTIME}", "-Wl,--wrap=nnc_npu_run")
KERNEL = Kernel("nnc_npu_run", "npu", 0, True)


def spread_layers(manifest: Manifest) -> tuple[LayerInfo, ...]:
    """The package's layers with those of the NPU in place of its networks."""
    if manifest.npu is None:
        return manifest.layers
    inside: dict[int, list[LayerInfo]] = {}
    for row in manifest.npu.layers:
        inside.setdefault(row.layer, []).append(_layer(row))
    return tuple(spread for number, layer in enumerate(manifest.layers) for spread in inside.get(number, [layer]))


def _layer(row: NpuLayer) -> LayerInfo:
    output = TensorInfo(row.shape, "int8", row.scale, row.zero_point)
    return LayerInfo(row.name, row.op, "", (), (), output, row.macs, 0, KERNEL.description, (KERNEL,), "")


def jobs_of(manifest: Manifest, layer: int) -> list[NpuCommand]:
    """The jobs of the network in the manifest's layer `layer`, in order; none where it is a layer of the host."""
    info = manifest.npu
    return [] if info is None else [c for c in info.commands if c.shape and info.layers[c.layer].layer == layer]


def recorded_bytes(jobs: Sequence[NpuCommand]) -> int:
    """Of all that the jobs write."""
    return sum(int(np.prod(job.shape, dtype=np.int64)) for job in jobs)


def assemble(manifest: Manifest, jobs: Sequence[NpuCommand], data: bytes) -> list[np.ndarray]:
    """The outputs of the network's layers, in their order, from what its jobs wrote."""
    assert manifest.npu is not None
    layers = manifest.npu.layers
    outputs = {number: np.zeros(int(np.prod(layers[number].shape, dtype=np.int64)), np.int8) for number in sorted({job.layer for job in jobs})}
    at = 0
    for job in jobs:
        height, width, channels = job.shape
        pixel = layers[job.layer].shape[-1]
        places = job.at + np.arange(height)[:, None, None] * job.row + np.arange(width)[:, None] * pixel + np.arange(channels)
        outputs[job.layer][places] = np.frombuffer(data, np.int8, places.size, at).reshape(places.shape)
        at += places.size
    return [output.reshape(layers[number].shape) for number, output in outputs.items()]
