"""A float module compiled by the project's own target for this machine, with any of its tensors as outputs."""

from __future__ import annotations

import dataclasses
import pathlib
import platform
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tvm
from tvm import relax

from nnc_tvm.errors import MissingTool
from nnc_tvm.frontend.model import IoTensor, SourceModel
from nnc_tvm.package import write_package
from nnc_tvm.package.toolchain import resolve
from nnc_tvm.quantize.samples import Samples
from nnc_tvm.relay_passes.graph import Graph, substitute, tensor_type
from nnc_tvm.relay_passes.pipeline import to_program
from nnc_tvm.relay_passes.schedule_layers import schedule_layers
from nnc_tvm.run.runner import Runner, build_runner
from nnc_tvm.targets.base import Target
from nnc_tvm.targets.registry import TARGETS, get_target

Expr = Any
CHUNK_BYTES = 64 << 20  # of outputs that are held at once


def host_target() -> Target:
    """The target that runs here without an emulator. Raises MissingTool where there is none."""
    for kind in TARGETS:
        target = get_target(kind)
        if resolve(target.triple, target.toolchain.prefix, target.toolchain.emulator, target.toolchain.packages).native:
            return target
    raise MissingTool(f"calibration runs the model on this machine, and no target is for {platform.machine()}; quantize it on x86-64 or aarch64")


def with_outputs(module: tvm.IRModule, variables: Sequence[Expr]) -> tvm.IRModule:
    """`module` whose "main" returns the tensors `variables` (bound in it) instead of its results."""
    graph = Graph(module["main"])
    builder = relax.BlockBuilder()
    made: dict[Expr, Expr] = {}
    with builder.function("main", list(graph.function.params)):
        with builder.dataflow():
            for variable, value in graph.definitions.items():
                made[variable] = builder.emit(substitute(value, made), name_hint=variable.name)
            results = [made[v] for v in variables]
            output = builder.emit_output(relax.Tuple(results) if len(results) > 1 else results[0])
        builder.emit_func_output(output)
    return relax.transform.DeadCodeElimination(["main"])(builder.finalize())


class HostProgram:
    """The float module `module` of `source`, all of whose results are tensors, computed natively. The package and the runner live in `folder`."""

    def __init__(self, source: SourceModel, module: tvm.IRModule, folder: pathlib.Path) -> None:
        types = [tensor_type(result) for result in Graph(module["main"]).results()]
        self.outputs = tuple(IoTensor(f"tensor_{k}", t.shape, t.dtype) for k, t in enumerate(types))
        observed = dataclasses.replace(source, module=module, outputs=self.outputs)
        target = host_target()
        program = to_program(module, source.default_requantize)
        write_package(schedule_layers(program, target), observed, target, "calibration", folder / "package")
        self.inputs = [tensor.name for tensor in source.inputs]
        self.folder = folder
        self.runner: Runner = build_runner(folder / "package", folder)
        self.most = max(1, CHUNK_BYTES // max(1, sum(t.bytes for t in types)))

    def run(self, samples: Samples) -> Iterator[tuple[int, list[np.ndarray]]]:
        """For every chunk of the samples: how many it holds, and the tensors, (n, *shape) each."""
        for chunk in samples.chunks(self.most):
            count = len(next(iter(chunk.values())))
            sources = [self.folder / f"in{k}.bin" for k in range(len(self.inputs))]
            results = [self.folder / f"out{k}.bin" for k in range(len(self.outputs))]
            for name, file in zip(self.inputs, sources, strict=True):
                np.ascontiguousarray(chunk[name]).tofile(file)
            self.runner.run("run", count, [*sources, *results])
            yield count, [np.fromfile(file, t.dtype).reshape(count, *t.shape) for file, t in zip(results, self.outputs, strict=True)]
