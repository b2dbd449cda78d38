"""What would make the layers of a package faster: proposals of schedules/proposals.py for the layers of its manifest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from nnc_tvm.errors import InvalidInput
from nnc_tvm.package.manifest import LayerInfo, Manifest, SumInfo
from nnc_tvm.report.table import kib, shorten, table
from nnc_tvm.schedules.operators import Conv2d, Dense, TensorType
from nnc_tvm.schedules.proposals import proposals
from nnc_tvm.schedules.quantization import FloatClamp, FloatRequantize
from nnc_tvm.targets.base import Emit, Optimize, Target
from nnc_tvm.targets.registry import get_target

NAME_WIDTH = 32


@dataclass(frozen=True)
class Advice:
    """For one layer. number: in the manifest, from 1. cost: estimated instructions; *_now: of the form that it has.

    saved: the part of all layers' estimated instructions that the change would save.
    """

    number: int
    layer: str
    form: str
    change: str
    becomes: str
    cost: float
    cost_now: float
    weight_bytes: int
    weight_bytes_now: int
    saved: float


def advise(manifest: Manifest) -> list[Advice]:
    """For every convolution and dense layer what would make it cheaper, what saves most first.

    Raises InvalidInput for packages whose layers another device computes.
    """
    if manifest.npu is not None:
        raise InvalidInput(f"{manifest.name}: --advise knows the kernels of CPUs; this package is for the {manifest.target.kind}")
    target = target_of(manifest)
    total = sum(layer.forms[0].cost for layer in manifest.layers if layer.forms)
    made = [advice for number, layer in enumerate(manifest.layers, 1) for advice in advise_layer(number, layer, target, total)]
    return sorted(made, key=lambda advice: -advice.saved)


def target_of(manifest: Manifest) -> Target:
    """What the package was compiled for; with all forms allowed, as a network that is trained anew would be."""
    info = manifest.target
    emit: Emit = "c" if info.emit == "c" else "obj"
    optimize: Optimize = "speed" if info.optimize == "speed" else "size" if info.optimize == "size" else "balanced"
    return replace(get_target(info.kind, info.mcpu, None, emit), optimize=optimize)


def advise_layer(number: int, layer: LayerInfo, target: Target, total: float) -> Iterator[Advice]:
    """None for layers of several sums: these are factors already."""
    if len(layer.sums) != 1 or not layer.forms:
        return
    now = layer.forms[0]
    for made in proposals(operator_of(layer, layer.sums[0]), now.cost, target):
        yield Advice(number, layer.name, layer.form, made.change, made.form, made.cost, now.cost, made.weight_bytes, now.weight_bytes,
                     (now.cost - made.cost) / total)


def operator_of(layer: LayerInfo, info: SumInfo) -> Conv2d | Dense:
    """A layer of the same shape with as many zeros, scattered."""
    source, output = [TensorType(t.shape, t.dtype) for t in (layer.inputs[0], layer.output)]
    rng = np.random.default_rng(0)
    dtype = np.float32 if source.dtype == "float32" else np.int16
    weight = (rng.integers(1, 1 + max(1, info.largest), info.weight) * (rng.random(info.weight) >= info.zeros)).astype(dtype)
    bias = np.zeros(info.weight[0], np.float32 if dtype == np.float32 else np.int32)
    epilogue = FloatClamp() if dtype == np.float32 else FloatRequantize(np.ones(1, np.float32), 0)
    if len(info.weight) == 2:
        return Dense((source,), output, weight, bias, epilogue)
    top, left, bottom, right = info.padding
    (sh, sw), (dh, dw) = info.strides, info.dilation
    return Conv2d((source,), output, weight, bias, epilogue, 0, (sh, sw), (top, left, bottom, right), (dh, dw), info.groups)


def advice_table(advice: list[Advice]) -> str:
    """One row for each change."""
    rows = [[str(a.number), shorten(a.layer, NAME_WIDTH), a.form, a.change, a.becomes, f"{a.cost / a.cost_now:.2f}", kib(a.weight_bytes_now),
             kib(a.weight_bytes), f"{a.saved:.1%}"] for a in advice]
    return table(["", "layer", "form", "with", "becomes", "cost", "weights", "then", "saves"], rows)
