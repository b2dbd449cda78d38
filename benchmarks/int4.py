"""Weights of 4 bits against the same weights as bytes: networks in QDQ form, their weights rounded to 15 steps.

usage: python benchmarks/int4.py MODEL.onnx... [--cpus avx2,cortex-a53,cortex-a76]    # prints README's table

Both packages are compiled by default options, one with all forms and one with `--forms dense`. Time on AVX2, guest instructions elsewhere.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

NNC = pathlib.Path(sys.executable).parent / "nnc-tvm"
CPUS = {
    "avx2": ("--target", "x86_cpu", "--mcpu", "x86-64-v3"), "cortex-a53": ("--target", "arm_cpu", "--mcpu", "cortex-a53"),
    "cortex-a76": ("--target", "arm_cpu", "--mcpu", "cortex-a76"),
}
REPEATS = 3
STEPS = 127 // 7  # of an int8 weight in one of its 15


def rounded(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with int8 weights of convolutions and matrix products in [-7, 7], on scales as much larger."""
    constants = {t.name: t for t in model.graph.initializer}
    scales = set()
    for node in model.graph.node:
        weight = constants.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if weight is None:
            continue
        values = numpy_helper.to_array(weight)
        if values.dtype == np.int8 and values.ndim > 1:
            weight.CopyFrom(numpy_helper.from_array(np.clip(np.rint(values / STEPS), -7, 7).astype(np.int8), weight.name))
            scales.add(node.input[1])
    for name in scales:
        constants[name].CopyFrom(numpy_helper.from_array((numpy_helper.to_array(constants[name]) * STEPS).astype(np.float32), name))
    return model


def package(file: pathlib.Path, folder: pathlib.Path, cpu: str, forms: str) -> dict[str, Any]:
    """What `nnc-tvm bench` says of the model compiled for a CPU."""
    subprocess.run([NNC, "compile", file, *CPUS[cpu], "--forms", forms, "-o", folder], check=True, capture_output=True)
    return bench(folder)


def bench(folder: pathlib.Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(subprocess.run([NNC, "bench", folder, "--json"], check=True, capture_output=True, text=True).stdout)
    return found


def row(file: pathlib.Path, cpu: str, work: pathlib.Path) -> str:
    """Of the table. Times in turn, the least of each."""
    dense, packed = [package(file, work / forms, cpu, forms) for forms in ("dense", "auto")]
    if dense["median_ms"] is None:
        costs = [f"{found['guest_instructions'] / 1e6:.1f} M" for found in (dense, packed)]
        ratio = packed["guest_instructions"] / dense["guest_instructions"]
    else:
        runs = [[bench(work / forms)["min_ms"] for forms in ("dense", "auto")] for _ in range(REPEATS)]
        least = [min(times) for times in zip(*runs, strict=True)]
        costs, ratio = [f"{ms:.2f} ms" for ms in least], least[1] / least[0]
    kib = [f"{found['weights_bytes'] / 1024:.0f}" for found in (dense, packed)]
    return f"| {file.stem} | {cpu} | {costs[0]} | {costs[1]} | {ratio:.2f} | {kib[0]} | {kib[1]} | {packed['weights_bytes'] / dense['weights_bytes']:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--cpus", default=",".join(CPUS))
    arguments = parser.parse_args()
    print("| network | CPU | as bytes | two in a byte | ratio | weights, KiB | packed, KiB | ratio |\n|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        for model in arguments.models:
            file = pathlib.Path(temporary) / model.name
            onnx.save(rounded(onnx.load(model)), file)
            for cpu in arguments.cpus.split(","):
                print(row(file, cpu, pathlib.Path(temporary)), flush=True)


if __name__ == "__main__":
    main()
