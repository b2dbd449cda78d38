"""What a package is and costs, as text."""

from __future__ import annotations

from collections.abc import Sequence

from nnc_tvm.package.manifest import Manifest, Tensor
from nnc_tvm.package.npu_info import NpuInfo
from nnc_tvm.report.table import kib, shorten, table, thousands

NAME_WIDTH = 40


def summary(manifest: Manifest) -> str:
    """A few lines: the model, the target, inputs, outputs and bytes."""
    macs = sum(layer.macs for layer in manifest.layers)
    target = manifest.target
    bound = manifest.arena_lower_bound_bytes
    lines = [
        f"{manifest.name}: {manifest.model.format} model {manifest.model.name} for {target.kind} {target.mcpu}, requantization {manifest.requantize}",
        *(f"  input   {_tensor(t)}" for t in manifest.inputs), *(f"  output  {_tensor(t)}" for t in manifest.outputs),
        f"  layers  {len(manifest.layers)}, {thousands(macs)} MACs" + f", on {manifest.threads} threads" * (manifest.threads > 1),
        f"  arena   {kib(manifest.arena_bytes)} (at least {kib(bound)} are live at once)",
        *([_npu(manifest.npu, macs)] if manifest.npu else []),
        f"  weights {kib(manifest.weights_bytes)} (the model file: {kib(manifest.model.file_bytes)})", f"  code    {code_size(manifest.code_bytes)}",
    ]
    return "\n".join(lines)


def _npu(info: NpuInfo, macs: int) -> str:
    """How much of a package its NPU computes."""
    if not info.layers:
        return "  npu     computes nothing of it; `nnc-tvm inspect` says why of each layer"
    return f"  npu     {info.macs / max(macs, 1):.0%} of the MACs, {thousands(info.cycles)} cycles, {kib(info.sram_bytes)} of SRAM"


def code_size(code_bytes: int | None) -> str:
    """Machine code, where it is known."""
    return "as your compiler makes it of src/kernels.c" if code_bytes is None else kib(code_bytes)


def _tensor(tensor: Tensor) -> str:
    quantization = f", real = {tensor.scale:.6g} * (q {-(tensor.zero_point or 0):+d})" if tensor.scale is not None else ""
    return f"'{tensor.name}' {tensor.dtype} {tensor.shape}{quantization}"


def layer_table(manifest: Manifest, unit: str = "", costs: Sequence[float] = ()) -> str:
    """One row a layer: operator, form, shape, MACs, bytes, kernels, notes, and costs ("ms" or "instructions") where they are given."""
    total = sum(costs) or 1.0
    rows = []
    for number, layer in enumerate(manifest.layers):
        cost = [_cost(costs[number]), f"{costs[number] / total:.0%}"] if costs else []
        shape = "x".join(map(str, layer.output.shape))
        counts = [thousands(count) if count else "" for count in (layer.macs, layer.bytes)]
        rows.append([str(number + 1), shorten(layer.name, NAME_WIDTH), layer.op, layer.form, f"{layer.output.dtype} {shape}", *counts, *cost,
                     layer.kernel or "the same memory", layer.why])
    return table(["", "layer", "operator", "form", "output", "MACs", "bytes", *([unit, "share"] if costs else []), "kernel", "note"], rows)


def _cost(value: float) -> str:
    """A time to four digits, or a count."""
    return thousands(value) if isinstance(value, int) else f"{value:.4f}"
