"""Measures whole networks and rewrites the table of the README: nnc-tvm on this machine and under qemu, its peers beside it in the same run.

usage: python benchmarks/networks.py [--peers PYTHON] [--optimize speed] [--layers] [--write] MODEL...

Time is the median of one inference on one thread; ARM is counted in guest instructions. PYTHON has openvino, onnxruntime and ai_edge_litert,
as far as they are to be measured; by default the one that runs this. --layers adds the tables of `limits.py` and `loop_cycles.py`, layer by layer.
With --write the table between the README's `<!-- networks -->` marks is replaced, and those of docs/limits.md.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

import limits
import loop_cycles
from pages import write_between
from peers import PEERS, peer_ms

ROOT = pathlib.Path(__file__).resolve().parent.parent
NNC = pathlib.Path(sys.executable).parent / "nnc-tvm"
ARM = ("cortex-a53", "cortex-a76", "neoverse-v1")
HEAD = ("| network | host, ms | OpenVINO | ONNX Runtime | LiteRT | cortex-a53 | cortex-a76 | neoverse-v1 | arena, KiB | weights, KiB | code, KiB | "
        "compile, s |")


def compiled(model: pathlib.Path, folder: pathlib.Path, *options: str) -> tuple[dict[str, Any], float]:
    """(the figures of `nnc-tvm bench`, seconds of compiling)."""
    start = time.perf_counter()
    subprocess.run([NNC, "compile", model, "-o", folder, *options], check=True, capture_output=True)
    seconds = time.perf_counter() - start
    return json.loads(subprocess.run([NNC, "bench", folder, "--json"], check=True, capture_output=True, text=True).stdout), seconds


def row(model: pathlib.Path, optimize: str, peers: str, work: pathlib.Path) -> str:
    """One line of the table."""
    options = ("--optimize", optimize)
    host, seconds = compiled(model, work / "host", "--target", "x86_cpu", *options)
    times = [host["median_ms"], *(peer_ms(peers, name, model) for name in PEERS)]
    arm = [compiled(model, work / cpu, "--target", "arm_cpu", "--mcpu", cpu, *options)[0] for cpu in ARM]
    instructions = [f"{figures['guest_instructions'] / 1e6:.2f} M" for figures in arm]
    size = [f"{arm[0]['arena_bytes'] / 1024:.1f}", f"{arm[0]['weights_bytes'] / 1024:.0f}", f"{arm[0]['code_bytes'] / 1024:.0f}"]
    return " | ".join([f"| {model.stem}", *("" if ms is None else f"{ms:.3g}" for ms in times), *instructions, *size, f"{seconds:.1f} |"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--peers", default=sys.executable)
    parser.add_argument("--optimize", default="balanced")
    parser.add_argument("--layers", action="store_true")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    lines = [HEAD, "|---" * HEAD.strip(" |").count("|") + "|---|"]
    for model in arguments.models:
        with tempfile.TemporaryDirectory() as folder:
            print(f"measuring {model}", file=sys.stderr)
            lines.append(row(model, arguments.optimize, arguments.peers, pathlib.Path(folder)))
    table = "\n".join(lines)
    print(table)
    if arguments.write:
        write_between(ROOT / "README.md", "networks", table)
    if arguments.layers:
        limits.show(arguments.models, arguments.write)
        loop_cycles.show(arguments.models, arguments.write)


if __name__ == "__main__":
    main()
