"""A scheduled network becomes a package: layout, kernels, constants, C sources, manifest."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from nnc_tvm.errors import InvalidInput
from nnc_tvm.package import arena
from nnc_tvm.package.constants import Constants
from nnc_tvm.package.emissions import EMISSIONS
from nnc_tvm.package.emit_graph import graph
from nnc_tvm.package.emit_header import header
from nnc_tvm.package.emit_project import cmake, example, makefile
from nnc_tvm.package.emit_threads import thread_files, thread_sources
from nnc_tvm.package.folder import check_output, replacing
from nnc_tvm.package.identifiers import check_package_name, unique_identifiers
from nnc_tvm.package.kernels import name_kernels
from nnc_tvm.package.layout import Layout, lay_out
from nnc_tvm.package.manifest import (
    FILE,
    FORMAT,
    SCHEMA_VERSION,
    FormInfo,
    Kernel,
    LayerInfo,
    Manifest,
    Model,
    SumInfo,
    TargetInfo,
    Tensor,
    TensorInfo,
    to_json,
)
from nnc_tvm.package.npu import npu_info
from nnc_tvm.package.source import Source, SourceTensor
from nnc_tvm.relay_passes.program import ScheduledProgram
from nnc_tvm.schedules.operators import Chain, Conv2d, Dense, Operator
from nnc_tvm.targets.base import Target


def write_package(scheduled: ScheduledProgram, source: Source, target: Target, name: str, output: pathlib.Path,
                  progress: Callable[[str], None] = lambda line: None) -> Manifest:
    """Writes the package `name` into the folder `output`, whole or not at all; returns its manifest.

    name: a C identifier, the prefix of every symbol. An existing package in `output` is replaced. The same input gives the same
    bytes. Raises InvalidInput for a name or folder that does not do, MissingTool, ToolFailed and Unsupported.
    """
    check_package_name(name)
    check_output(output)
    chain, emission = target.toolchain, EMISSIONS[target.emit]
    info = TargetInfo(target.kind, target.mcpu, target.triple, chain.prefix, tuple(part.format(cpu=target.emulated_cpu) for part in chain.emulator),
                      chain.packages, chain.flags, target.optimize, target.emit)
    constants = Constants()
    layout = lay_out(scheduled, constants)
    symbols, functions = name_kernels(scheduled, name, layout.in_place)
    model = Model(pathlib.PurePath(source.name).name, source.sha256, source.file_bytes, source.format)
    program = scheduled.program
    manifest = Manifest(
        FORMAT, SCHEMA_VERSION, name, model, info, program.requantize, _tensors(source.inputs, scheduled, program.inputs, "input"),
        _tensors(source.outputs, scheduled, program.outputs, "output"), max(layout.arena.bytes, arena.ALIGNMENT), arena.ALIGNMENT,
        layout.arena.lower_bound, weights_bytes=0, code_bytes=0,
        sources=tuple(s.format(name=name) for s in (*emission.sources, *thread_sources(target.threads))),
        libraries=tuple(s.format(name=name) for s in emission.libraries), libm=(), threads=target.threads, layers=_layers(scheduled, layout, symbols),
        npu=npu_info(scheduled, target.companion))
    progress(f"compiling {len(functions)} kernels for {target.mcpu}")
    with replacing(output) as folder:
        _write(folder, {f"include/{name}.h": header(manifest), manifest.sources[0]: graph(manifest, layout, constants.types()), **thread_files(manifest)})
        manifest = emission.build(functions, constants, manifest, target, folder)
        _write(folder, {"example/main.c": example(manifest), "Makefile": makefile(manifest), "CMakeLists.txt": cmake(manifest), FILE: to_json(manifest)})
    return manifest


def _write(folder: pathlib.Path, texts: dict[str, str]) -> None:
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def _tensors(tensors: Sequence[SourceTensor], scheduled: ScheduledProgram, values: Sequence[str], kind: str) -> tuple[Tensor, ...]:
    """The model's inputs or outputs, which must be what the program's are."""
    if len(tensors) != len(values):
        raise ValueError(f"the model has {len(tensors)} {kind}s, its program {len(values)}")
    for tensor, value in zip(tensors, values, strict=True):
        has = scheduled.program.values[value].type
        if (tuple(tensor.shape), tensor.dtype) != (has.shape, has.dtype):
            raise ValueError(f"{kind} '{tensor.name}' is {tensor.dtype} {tensor.shape}, the program's '{value}' is {has.dtype} {has.shape}")
        if has.bytes == 0:
            raise InvalidInput(f"{kind} '{tensor.name}': shape {has.shape} has no elements")
    names = unique_identifiers((t.name for t in tensors), kind)
    return tuple(Tensor(t.name, identifier, tuple(t.shape), t.dtype, t.scale, t.zero_point) for t, identifier in zip(tensors, names, strict=True))


def _layers(scheduled: ScheduledProgram, layout: Layout, symbols: Sequence[str]) -> tuple[LayerInfo, ...]:
    rows = []
    calls = iter(zip(symbols, layout.steps, strict=True))
    for layer in scheduled.layers:
        operator = layer.layer.operator
        kernels = []
        for stage in layer.stages:
            symbol, step = next(calls)
            kernels.append(Kernel(symbol, stage.kernel, len(step.arguments), stage.may_fail, stage.parts))
        packed = sum(constant.nbytes for stage in layer.stages for constant in stage.constants)
        values = [scheduled.program.values[name] for name in (*layer.layer.inputs, layer.layer.output)]
        *inputs, output = (TensorInfo(t.shape, t.dtype, v.scale, v.zero_point) for t, v in zip((*operator.inputs, operator.output), values, strict=True))
        chosen = layer.selection
        forms = tuple(FormInfo(form.form, form.cost, form.weight_bytes) for form in ((chosen.taken, *chosen.others) if chosen else ()))
        why = "; ".join(text for text in (layer.layer.note, chosen.why if chosen else "") if text)
        rows.append(LayerInfo(layer.layer.name, operator.kind, layer.form, forms, tuple(inputs), output, operator.macs, packed,
                              " + ".join(k.description for k in kernels), tuple(kernels), why, sums_of(operator)))
    return tuple(rows)


def sums_of(operator: Operator) -> tuple[SumInfo, ...]:
    """What the manifest says of the convolutions and dense layers in one layer."""
    made = []
    for link in operator.links if isinstance(operator, Chain) else (operator,):
        if isinstance(link, Conv2d | Dense):
            zeros, largest = float(np.mean(link.weight == 0)), math.ceil(np.abs(link.weight).max(initial=0))
            shape = (link.strides, link.padding, link.dilation, link.groups) if isinstance(link, Conv2d) else ((1, 1), (0, 0, 0, 0), (1, 1), 1)
            made.append(SumInfo(link.weight.shape, *shape, round(zeros, 4), largest))
    return tuple(made)
