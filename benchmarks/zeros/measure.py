"""Compiles the layers with all forms and with the dense ones alone, and sets what they take beside each other."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import onnx

from zeros.layers import LAYERS, Prune, network, prunings, result_name

NNC = pathlib.Path(sys.executable).parent / "nnc-tvm"


@dataclass(frozen=True)
class Cpu:
    """options: of `nnc-tvm compile`. emulated: guest instructions are counted, which repeat; the time is taken, several times over, elsewhere."""

    options: tuple[str, ...]
    emulated: bool

    @property
    def unit(self) -> str:
        return "instructions" if self.emulated else "time"

    @property
    def repeats(self) -> int:
        return 1 if self.emulated else 3


CPUS = {
    "AVX2": Cpu(("--target", "x86_cpu", "--mcpu", "x86-64-v3"), False),
    "VNNI": Cpu(("--target", "x86_cpu", "--mcpu", "znver4"), False),
    **{name: Cpu(("--target", "arm_cpu", "--mcpu", name), True) for name in ("cortex-a53", "cortex-a76", "neoverse-v1")},
}


@dataclass(frozen=True)
class Point:
    """One layer: what its forms take over the best dense one (1 where that was chosen), bytes over the int8 weights', and the form."""

    ratio: float
    size: float
    form: str


Found = dict[str, dict[int, list[Point]]]  # pattern -> percent of zeros -> points, one a layer


@dataclass(frozen=True)
class Package:
    """rows: of the manifest, in the order of LAYERS, each with its number in the network."""

    folder: pathlib.Path
    rows: list[dict[str, Any]]

    def costs(self) -> list[float]:
        """ms or instructions of each layer."""
        bench = json.loads(subprocess.run([NNC, "bench", self.folder, "--layers", "--json"], check=True, capture_output=True, text=True).stdout)
        return [bench["layers"][row["number"]].get("ms") or bench["layers"][row["number"]]["instructions"] for row in self.rows]

    def outputs(self, inputs: pathlib.Path) -> dict[str, np.ndarray]:
        """Of the images that an .npz file holds."""
        file = self.folder / "outputs.npz"
        subprocess.run([NNC, "run", self.folder, "--inputs", inputs, "--outputs", file], check=True, capture_output=True)
        return dict(np.load(file))


def compiled(model: pathlib.Path, folder: pathlib.Path, *options: str) -> Package:
    subprocess.run([NNC, "compile", model, "-o", folder, "--optimize", "speed", *options], check=True, capture_output=True)
    rows = {row["name"]: row | {"number": number} for number, row in enumerate(json.loads((folder / "manifest.json").read_text())["layers"])}
    return Package(folder, [rows[result_name(k)] for k in range(len(LAYERS))])


def compare(cpu: Cpu, prune: Prune, work: pathlib.Path, dense: Package, check: bool) -> list[Point]:
    """Of each layer. dense: the package that it is compared with; its kernels take the same time whatever the weights are.

    check: the outputs are compared with those of the dense forms of these very weights, too. Raises ValueError where they differ.
    """
    model = work / "layers.onnx"
    onnx.save(network(prune), model)
    auto = compiled(model, work / "auto", *cpu.options)
    if check:
        same_outputs(auto, compiled(model, work / "same", *cpu.options, "--forms", "dense"), work)
    runs = [(auto.costs(), dense.costs()) for _ in range(cpu.repeats)]
    points = []
    for k, (layer, row, other) in enumerate(zip(LAYERS, auto.rows, dense.rows, strict=True)):
        ratio = min(run[0][k] for run in runs) / min(run[1][k] for run in runs)
        size = row["forms"][0]["weight_bytes"] / np.prod(layer.weight_shape)
        points.append(Point(1.0 if row["form"] == other["form"] else ratio, float(size), row["form"]))
    return points


def same_outputs(auto: Package, dense: Package, work: pathlib.Path) -> None:
    images = {f"x{k}": (1, layer.inputs, *([layer.size] * 2 if layer.kernel else [])) for k, layer in enumerate(LAYERS)}
    rng = np.random.default_rng(2)
    np.savez(work / "inputs.npz", **{name: (rng.standard_normal(shape) * 3).astype(np.float32) for name, shape in images.items()})
    got, want = auto.outputs(work / "inputs.npz"), dense.outputs(work / "inputs.npz")
    wrong = [layer.name for k, layer in enumerate(LAYERS) if not np.array_equal(got[f"y{k}"], want[f"y{k}"])]
    if wrong:
        raise ValueError(f"outputs differ from the dense form's: {'; '.join(wrong)}")


def measured(cpu: str, percents: Sequence[int], keep: pathlib.Path | None, check: bool) -> Found:
    """All points of a CPU; those that the file `keep` has are taken from there, others are added to it."""
    found: Found = {}
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        dense: Package | None = None
        for pattern, zeros, prune in ((p, z, prune) for p, rows in prunings(percents).items() for z, prune in rows.items()):
            kept = json.loads(keep.read_text()) if keep and keep.exists() else {}
            key = f"{cpu}, {pattern}, {zeros}"
            if key not in kept:
                if dense is None:
                    onnx.save(network(lambda weight: weight), work / "dense.onnx")
                    dense = compiled(work / "dense.onnx", work / "dense", *CPUS[cpu].options, "--forms", "dense")
                kept[key] = [astuple(point) for point in compare(CPUS[cpu], prune, work, dense, check)]
                if keep:
                    keep.write_text(json.dumps(kept))
            found.setdefault(pattern, {})[zeros] = [Point(*point) for point in kept[key]]
    print(f"measured {cpu}", file=sys.stderr)
    return found


def slower(found: Found) -> Iterator[str]:
    """The points where the chosen form takes more than the dense one."""
    for pattern, rows in found.items():
        for zeros, points in rows.items():
            for layer, point in zip(LAYERS, points, strict=True):
                if point.ratio > 1:
                    yield f"{pattern}, {zeros} %, {layer.name}: {point.form} {point.ratio:.3f}"
