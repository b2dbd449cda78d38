"""Writes docs/limits.md's tables: how far each layer of a network is from what the instructions allow, the largest loss first.

usage: python benchmarks/limits.py MODEL...      # prints the tables; --write puts them between the page's `<!-- layers -->` marks

On the host, with all that it has and with AVX2 alone, in GMAC/s against loops of nothing but products, timed in the same run (multiply_loops.c);
on ARM in MAC per guest instruction against the instruction's own.
Winograd's limits count the products that it saves. Layers of instructions without a limit come last, with a question mark.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

from pages import write_between

ROOT = pathlib.Path(__file__).resolve().parent.parent
NNC = pathlib.Path(sys.executable).parent / "nnc-tvm"
CPUS = {"host": ("--target", "x86_cpu"), "host, AVX2": ("--target", "x86_cpu", "--mcpu", "x86-64-v3"),
        **{cpu: ("--target", "arm_cpu", "--mcpu", cpu) for cpu in ("cortex-a53", "cortex-a76", "neoverse-v1")}}
# MAC per instruction, by definition; those of the host are measured
ARM_LIMITS = {"sdot": 16.0, "smmla": 32.0, "smlal": 16 / 3, "smlal_16": 4.0, "fmla": 4.0}
SAVED = {"F(4x4,3x3)": 4.0, "F(3x3,4x4)": 4.0, "F(2x2,3x3)": 2.25}  # products of the convolution for each of the form's


def measured_limits(folder: pathlib.Path) -> dict[str, float]:
    """Instruction -> GMAC/s of a loop of nothing but its products, on this machine."""
    loops = folder / "multiply_loops"
    subprocess.run(["gcc", "-O2", "-march=native", pathlib.Path(__file__).with_name("multiply_loops.c"), "-o", loops], check=True)
    limits = json.loads(subprocess.run([loops], check=True, capture_output=True, text=True).stdout)
    return {**limits, "pmaddwd_16": limits["pmaddwd"]}


def limit_of(kernel: str, limits: dict[str, float]) -> float | None:
    """The limit for a layer's kernels, such as "pad + winograd F(4x4,3x3) smlal_16 6x16"; None for instructions without one."""
    words = kernel.split()
    limit = next((limits[word] for word in words if word in limits), None)
    return limit and limit * next((SAVED[word] for word in words if word in SAVED), 1.0)


def layers(model: pathlib.Path, cpu: str, folder: pathlib.Path) -> list[dict[str, Any]]:
    """The layers with products: name, kernel, output, macs and cost (ms or instructions)."""
    package = folder / cpu.replace(", ", "-")
    subprocess.run([NNC, "compile", model, "-o", package, "--optimize", "speed", *CPUS[cpu]], check=True, capture_output=True)
    bench = json.loads(subprocess.run([NNC, "bench", package, "--layers", "--json"], check=True, capture_output=True, text=True).stdout)
    manifest = json.loads((package / "manifest.json").read_text())
    rows = []
    for layer, cost in zip(manifest["layers"], bench["layers"], strict=True):
        if layer["macs"]:
            rows.append({**layer, "cost": cost.get("ms", 0) or cost.get("instructions", 0)})
    return rows


def table(model: pathlib.Path, cpu: str, limits: dict[str, float], folder: pathlib.Path) -> str:
    """Layers of one kernel and shape together, in the order of what reaching their limit would gain."""
    on_host = cpu.startswith("host")
    unit, scale = ("ms", 1e6) if on_host else ("instructions, M", 1.0)
    groups: dict[tuple[str, str], list[float]] = {}
    for row in layers(model, cpu, folder):
        shape = f"{'x'.join(map(str, row['inputs'][0]['shape'][1:]))} -> {'x'.join(map(str, row['output']['shape'][1:]))}"
        total = groups.setdefault((shape, row["kernel"]), [0, 0.0, 0.0])
        total[0] += 1
        total[1] += row["macs"]
        total[2] += row["cost"]
    lines = []
    for (shape, kernel), (count, macs, cost) in groups.items():
        limit = limit_of(kernel, limits)
        reached = macs / cost / scale
        shown = cost if on_host else cost / 1e6
        cells = [shape, kernel, f"{count:.0f}", f"{macs / 1e6:.1f}", f"{shown:.3g}", f"{reached:.1f}",
                 *((f"{limit:.1f}", f"{reached / limit:.0%}") if limit else ("?", "?"))]
        lines.append((shown * (1 - reached / limit) if limit else -1.0, f"| {' | '.join(cells)} |"))
    lines.sort(reverse=True)
    rate = "GMAC/s" if on_host else "MAC per instruction"
    head = f"### {model.stem}, {cpu}\n\n| layer | kernel | times | MMAC | {unit} | {rate} | limit | reached |\n|---|---|---|---|---|---|---|---|\n"
    return head + "\n".join(line for _, line in lines) + "\n"


def show(models: list[pathlib.Path], write: bool) -> None:
    """Prints the tables of all models and CPUs; with `write` they go to the page."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        limits = {**measured_limits(folder), **ARM_LIMITS}
        text = "\n".join(table(model, cpu, limits, folder / model.stem) for model in models for cpu in CPUS)
    print(text)
    if write:
        write_between(ROOT / "docs/limits.md", "layers", text)


if __name__ == "__main__":
    show([pathlib.Path(a) for a in sys.argv[1:] if a != "--write"], "--write" in sys.argv)
