"""Speed against sparsity: single layers with zeros in every pattern, over the best dense form, on AVX2 in time and on cortex-a76 in guest instructions.

usage: python benchmarks/sparsity.py [--write] [--keep FILE] [PERCENT...]    # prints docs/sparsity.md's tables

--write puts them between the page's marks, with the picture. --keep: what is measured is written to a JSON file and not measured again, so that a run
may be cut short.

Both packages are compiled with `--optimize speed`, once with all forms and once with `--forms dense`, Winograd included. A ratio is the least of
one's repetitions over the least of the other's, in turn. Weights and images are random; which form a layer takes is the compiler's choice.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = pathlib.Path(__file__).resolve().parent.parent
NNC = pathlib.Path(sys.executable).parent / "nnc-tvm"
CPUS = {"AVX2": ("--target", "x86_cpu", "--mcpu", "x86-64-v3"), "cortex-a76": ("--target", "arm_cpu", "--mcpu", "cortex-a76")}
ZEROS = (0, 30, 50, 70, 80, 90, 95)
REPEATS = {"AVX2": 3, "cortex-a76": 1}
BLOCKS = {"4 inputs x 16 outputs": (4, 16), "4 inputs x 1 output": (4, 1), "scattered": (1, 1)}
N_OF_M = {50: 2, 75: 1}  # percent of zeros: of every four


@dataclass(frozen=True)
class Layer:
    """A convolution of square images and kernels."""

    size: int
    inputs: int
    outputs: int
    kernel: int
    stride: int = 1

    @property
    def name(self) -> str:
        strided = f", stride {self.stride}" if self.stride > 1 else ""
        return f"{self.kernel}x{self.kernel}{strided}, {self.size}x{self.size}x{self.inputs} to {self.outputs}"


LAYERS = (Layer(28, 192, 64, 1), Layer(56, 64, 64, 3), Layer(14, 256, 256, 3), Layer(28, 128, 256, 3, 2))


def pruned(weight: np.ndarray, zeros: int, block: tuple[int, int]) -> np.ndarray:
    """int8 (O, C, KH, KW) with `zeros` percent of its blocks of (inputs, outputs) zero, those of the least sum."""
    inputs, outputs = block
    o, c, kh, kw = weight.shape
    score = np.abs(weight.astype(np.int64)).reshape(o // outputs, outputs, c // inputs, inputs, kh, kw).sum((1, 3))
    keep = score.reshape(-1).argsort(kind="stable").argsort() >= round(score.size * zeros / 100)
    return weight * keep.reshape(score.shape).repeat(outputs, 0).repeat(inputs, 1)


def n_of_four(weight: np.ndarray, n: int) -> np.ndarray:
    """int8 (O, C, KH, KW) with the n largest of every four inputs left."""
    fours = np.moveaxis(np.abs(weight.astype(np.int64)), 1, -1).reshape(*weight.shape[:1], *weight.shape[2:], -1, 4)
    keep = (-fours).argsort(-1, kind="stable").argsort(-1) < n
    return weight * np.moveaxis(keep.reshape(*weight.shape[:1], *weight.shape[2:], -1), -1, 1)


def network(prune: Any) -> onnx.ModelProto:
    """A QDQ model of all layers side by side, each with an image of its own."""
    nodes, constants, inputs, outputs = [], [], [], []

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(value, name))
        return name

    rng = np.random.default_rng(1)
    scale, zero = constant("scale", np.float32(0.05)), constant("zero", np.uint8(128))
    for k, layer in enumerate(LAYERS):
        shape = (layer.outputs, layer.inputs, layer.kernel, layer.kernel)
        weight = prune(np.clip(np.rint(rng.standard_normal(shape) * 40), -127, 127).astype(np.int8))
        out = -(-layer.size // layer.stride)
        pad = layer.kernel // 2
        inputs.append(helper.make_tensor_value_info(f"x{k}", TensorProto.FLOAT, (1, layer.inputs, layer.size, layer.size)))
        outputs.append(helper.make_tensor_value_info(f"y{k}", TensorProto.FLOAT, (1, layer.outputs, out, out)))
        nodes += [
            helper.make_node("QuantizeLinear", [f"x{k}", scale, zero], [f"xq{k}"]), helper.make_node("DequantizeLinear", [f"xq{k}", scale, zero], [f"xd{k}"]),
            helper.make_node("DequantizeLinear", [constant(f"w{k}", weight), constant(f"s{k}", np.float32(0.01)), constant(f"z{k}", np.int8(0))], [f"wd{k}"]),
            helper.make_node("Conv", [f"xd{k}", f"wd{k}"], [f"c{k}"], pads=[pad] * 4, strides=[layer.stride] * 2),
            helper.make_node("QuantizeLinear", [f"c{k}", constant(f"o{k}", np.float32(weight[0].size**0.5 * 0.05)), zero], [f"yq{k}"]),
            helper.make_node("DequantizeLinear", [f"yq{k}", f"o{k}", zero], [f"y{k}"]),
        ]
    graph = helper.make_graph(nodes, "layers", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def compiled(model: pathlib.Path, folder: pathlib.Path, *options: str) -> list[dict[str, Any]]:
    """The manifest's convolutions, in the order of LAYERS."""
    subprocess.run([NNC, "compile", model, "-o", folder, "--optimize", "speed", *options], check=True, capture_output=True)
    rows = [row | {"number": number} for number, row in enumerate(json.loads((folder / "manifest.json").read_text())["layers"]) if row["op"] == "conv2d"]
    images = [(layer.size, layer.inputs) for layer in LAYERS]
    return sorted(rows, key=lambda row: images.index(tuple(row["inputs"][0]["shape"][2:])))


def costs(folder: pathlib.Path, rows: list[dict[str, Any]]) -> list[float]:
    """ms or instructions of each convolution."""
    bench = json.loads(subprocess.run([NNC, "bench", folder, "--layers", "--json"], check=True, capture_output=True, text=True).stdout)
    return [bench["layers"][row["number"]].get("ms") or bench["layers"][row["number"]]["instructions"] for row in rows]


@dataclass(frozen=True)
class Point:
    """One layer: what its forms take over the best dense one (1 where that was chosen), bytes over the int8 weights', and the form."""

    ratio: float
    size: float
    form: str


Package = tuple[pathlib.Path, list[dict[str, Any]]]
Prune = Callable[[np.ndarray], np.ndarray]
Found = dict[tuple[str, str], dict[int, list[Point]]]  # of each CPU and pattern: percent of zeros -> points, one a layer


def measure(cpu: str, prune: Any, work: pathlib.Path, dense: Package) -> list[Point]:
    """Of each layer. dense: the package that it is compared with; its kernels take the same time whatever the weights are."""
    model = work / "layers.onnx"
    onnx.save(network(prune), model)
    auto = work / "auto", compiled(model, work / "auto", *CPUS[cpu])
    runs = [(costs(*auto), costs(*dense)) for _ in range(REPEATS[cpu])]
    points = []
    for k, (layer, row, other) in enumerate(zip(LAYERS, auto[1], dense[1], strict=True)):
        ratio = min(run[0][k] for run in runs) / min(run[1][k] for run in runs)
        weights = layer.outputs * layer.inputs * layer.kernel**2
        points.append(Point(1.0 if row["form"] == other["form"] else ratio, row["forms"][0]["weight_bytes"] / weights, row["form"]))
    return points


def prunings(percents: Sequence[int]) -> dict[str, dict[int, Prune]]:
    """pattern -> percent of zeros -> what makes them."""
    blocks = {pattern: {z: (lambda w, z=z, b=block: pruned(w, z, b)) for z in percents} for pattern, block in BLOCKS.items()}
    return {**blocks, "N of 4": {z: (lambda w, n=n: n_of_four(w, n)) for z, n in N_OF_M.items()}}


def measured(percents: Sequence[int], keep: pathlib.Path | None) -> Found:
    """All points; those that the file `keep` has are taken from there, others are added to it."""
    kept: dict[str, list[Any]] = json.loads(keep.read_text()) if keep and keep.exists() else {}
    found: Found = {}
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        onnx.save(network(lambda weight: weight), work / "dense.onnx")
        for cpu in CPUS:
            dense: Package | None = None
            for pattern, rows in prunings(percents).items():
                for zeros, prune in rows.items():
                    key = f"{cpu}, {pattern}, {zeros}"
                    if key not in kept:
                        dense = dense or (work / cpu, compiled(work / "dense.onnx", work / cpu, *CPUS[cpu], "--forms", "dense"))
                        kept[key] = [astuple(point) for point in measure(cpu, prune, work, dense)]
                        if keep:
                            keep.write_text(json.dumps(kept))
                    found.setdefault((cpu, pattern), {})[zeros] = [Point(*point) for point in kept[key]]
            print(f"measured {cpu}", file=sys.stderr)
    return found


def break_even(points: dict[int, list[Point]], layer: int) -> str:
    """The percent of zeros between which the dense form gives way, or never."""
    won = [zeros for zeros, row in points.items() if row[layer].ratio < 1]
    if not won:
        return "never"
    return f"{max((zeros for zeros in points if zeros < min(won)), default=0)} to {min(won)} %"


def tables(found: Found) -> str:
    """A table for each CPU: a row for each pattern and layer."""
    parts = []
    for cpu in CPUS:
        unit = "time" if cpu == "AVX2" else "instructions"
        percents = list(found[cpu, "scattered"])
        shares = " | ".join(f"{z} %" for z in percents)
        head = f"### {cpu}: {unit} over the best dense form's\n\n| pattern | layer | {shares} | pays from | bytes at {percents[-1]} % |\n"
        lines = [head + "|---" * (len(percents) + 4) + "|"]
        for pattern in BLOCKS:
            points = found[cpu, pattern]
            for k, layer in enumerate(LAYERS):
                cells = [f"{points[z][k].ratio:.2f}" if points[z][k].ratio != 1 else "dense" for z in percents]
                lines.append(f"| {pattern} | {layer.name} | {' | '.join(cells)} | {break_even(points, k)} | {points[percents[-1]][k].size:.2f} |")
        lines += ["", "| pattern | layer | 2:4 | 1:4 |", "|---|---|---|---|"]
        for k, layer in enumerate(LAYERS):
            cells = [f"{row[k].ratio:.2f} {row[k].form}" if row[k].ratio != 1 else "dense" for row in found[cpu, "N of 4"].values()]
            lines.append(f"| N of 4 | {layer.name} | {' | '.join(cells)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


WIDTH, HEIGHT, MARGIN = 300, 180, 46
COLOURS = dict(zip(BLOCKS, ("#3a7d44", "#3b6ea5", "#c0562b"), strict=True))
STYLE = "text{font:11px sans-serif;fill:#222}.t{font-weight:bold}.g{stroke:#ddd}polyline{fill:none;stroke-width:2}"


def picture(found: Found) -> str:
    """An SVG: a field for each CPU and layer, a line for each pattern."""
    width, height = MARGIN + len(LAYERS) * WIDTH, 30 + len(CPUS) * HEIGHT
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">', f"<style>{STYLE}</style>",
             f'<rect width="{width}" height="{height}" fill="#fff"/>']
    for k, (pattern, colour) in enumerate(COLOURS.items()):
        parts.append(f'<text x="{MARGIN + 190 * k}" y="16" style="fill:{colour}">{pattern}</text>')
    parts.append(f'<text x="{MARGIN + 190 * len(COLOURS)}" y="16">cost over the best dense form, against percent of zeros</text>')
    for i, cpu in enumerate(CPUS):
        for k, layer in enumerate(LAYERS):
            left, top, wide, high = MARGIN + k * WIDTH, 52 + i * HEIGHT, WIDTH - 40, HEIGHT - 56
            parts.append(f'<text class="t" x="{left}" y="{top - 8}">{cpu}: {layer.name}</text>')
            for share in (0.0, 0.5, 1.0):
                y = top + high * (1 - share)
                parts.append(f'<line class="g" x1="{left}" x2="{left + wide}" y1="{y}" y2="{y}"/>')
                parts.append(f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{share}</text>')
            for zeros in (0, 50, 90):
                parts.append(f'<text x="{left + wide * zeros / 100:.0f}" y="{top + high + 14}" text-anchor="middle">{zeros}</text>')
            for pattern, colour in COLOURS.items():
                line = " ".join(f"{left + wide * z / 100:.1f},{top + high * (1 - row[k].ratio):.1f}" for z, row in found[cpu, pattern].items())
                parts.append(f'<polyline points="{line}" style="stroke:{colour}"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("percents", nargs="*", type=int, default=ZEROS)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--keep", type=pathlib.Path)
    arguments = parser.parse_args()
    found = measured(arguments.percents, arguments.keep)
    text = tables(found)
    print(text)
    if arguments.write:
        page = ROOT / "docs/sparsity.md"
        before, _, rest = page.read_text().partition("<!-- sparsity -->")
        _, _, after = rest.partition("<!-- sparsity -->")
        page.write_text(f"{before}<!-- sparsity -->\n{text}\n<!-- sparsity -->{after}")
        (ROOT / "docs/sparsity.svg").write_text(picture(found))


if __name__ == "__main__":
    main()
