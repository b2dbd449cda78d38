"""What a package costs: time natively, guest instructions under an emulator, and bytes."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnc_tvm.package.manifest import Manifest
from nnc_tvm.run.instructions import guest_instructions
from nnc_tvm.run.layers import layer_instructions, layer_milliseconds
from nnc_tvm.run.npu import npu_counters
from nnc_tvm.run.runner import Runner, build_runner

LEAST_RUNS = 21
LEAST_SECONDS = 1.0
WARM_UP_SECONDS = 0.2
MOST_RUNS = 100_000  # of either, for networks of a microsecond


def bench_package(folder: pathlib.Path, layers: bool = False, progress: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """One inference of the package in `folder` on random inputs, on the package's threads.

    median_ms, min_ms: milliseconds, after a warm-up, of at least 21 inferences and one second; None under an emulator.
    guest_instructions: of one inference, all threads together; None natively. arena_bytes, weights_bytes, code_bytes, threads: from the manifest.
    npu_...: what an emulated NPU counts (run/npu.py), and what the compiler expected.
    layers: one entry a layer (name, op, macs, bytes, kernel), when asked for with its median "ms" or its "instructions".
    Raises InvalidInput, MissingTool or ToolFailed.
    """
    with tempfile.TemporaryDirectory(prefix="nnc-tvm-bench-") as temporary:
        work = pathlib.Path(temporary)
        runner = build_runner(folder, work)
        manifest = runner.manifest
        files = write_random_inputs(manifest, work)
        median_ms = min_ms = instructions = None
        unit = "instructions"
        costs: Sequence[float] = ()
        if runner.tools.native:
            progress("measuring time")
            median_ms, min_ms = _milliseconds(runner, files)
            unit = "ms"
            costs = [round(t, 6) for t in layer_milliseconds(folder, manifest, files)] if layers else ()
        else:
            progress(f"counting instructions under {' '.join(runner.tools.emulator)}")
            instructions = guest_instructions(runner, files)
            costs = layer_instructions(folder, manifest, files) if layers else ()
        npu = npu_counters(folder, work, manifest, files)
    rows: list[dict[str, Any]] = [{"name": row.name, "op": row.op, "macs": row.macs, "bytes": row.bytes, "kernel": row.kernel} for row in manifest.layers]
    for row, cost in zip(rows, costs, strict=False):
        row[unit] = cost
    return {
        "median_ms": median_ms, "min_ms": min_ms, "guest_instructions": instructions, "arena_bytes": manifest.arena_bytes,
        "weights_bytes": manifest.weights_bytes, "code_bytes": manifest.code_bytes, "threads": manifest.threads, "layers": rows, **npu,
    }


def write_random_inputs(manifest: Manifest, work: pathlib.Path) -> list[pathlib.Path]:
    """A file of one sample for each input, always the same: integers all over their range, standard normal floats."""
    dice = np.random.default_rng(0)
    files = []
    for number, tensor in enumerate(manifest.inputs):
        kind = np.dtype(tensor.dtype)
        if kind.kind == "f":
            data = dice.standard_normal(tensor.shape).astype(kind)
        else:
            low, high = (0, 1) if kind.kind == "b" else (max(np.iinfo(kind).min, -128), min(np.iinfo(kind).max, 255))
            data = dice.integers(low, high, tensor.shape, endpoint=True).astype(kind)
        files.append(work / f"bench{number}.bin")
        np.ascontiguousarray(data).tofile(files[-1])
    return files


def _milliseconds(runner: Runner, files: list[pathlib.Path]) -> tuple[float, float]:
    """(median, least) milliseconds of an inference."""
    probe = _times(runner, 3, files)
    warm_up = min(int(WARM_UP_SECONDS * 1e3 / probe.min()) + 1, MOST_RUNS)
    count = min(max(LEAST_RUNS, int(LEAST_SECONDS * 1e3 / probe.min()) + 1), MOST_RUNS)
    times = _times(runner, warm_up + count, files)[warm_up:]
    return float(np.median(times)), float(times.min())


def _times(runner: Runner, count: int, files: list[pathlib.Path]) -> np.ndarray:
    return np.maximum(np.array(runner.run("time", count, files).stdout.split(), np.float64), 1.0) / 1e6
