"""Measures whole networks and rewrites the table of the README: nnc-tvm on this machine and under qemu, ONNX Runtime beside it in the same run.

usage: python benchmarks/networks.py [--write] MODEL...

Time is the median of one inference on one thread; ARM is counted in guest instructions. With --write the table between the README's
`<!-- networks -->` marks is replaced.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
from pages import write_between

ROOT = pathlib.Path(__file__).resolve().parent.parent
NNC = pathlib.Path(sys.executable).parent / "nnc-tvm"
ARM = ("cortex-a53", "cortex-a76", "neoverse-v1")


def compiled(model: pathlib.Path, folder: pathlib.Path, *options: str) -> tuple[dict[str, Any], float]:
    """(the figures of `nnc-tvm bench`, seconds of compiling)."""
    start = time.perf_counter()
    subprocess.run([NNC, "compile", model, "-o", folder, *options], check=True, capture_output=True)
    seconds = time.perf_counter() - start
    return json.loads(subprocess.run([NNC, "bench", folder, "--json"], check=True, capture_output=True, text=True).stdout), seconds


def onnxruntime_ms(model: pathlib.Path, runs: int = 21) -> float | None:
    """Median milliseconds of ONNX Runtime on one thread; None for other formats or without it."""
    if model.suffix != ".onnx":
        return None
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options)
    source = session.get_inputs()[0]
    feed = {source.name: np.random.default_rng(0).standard_normal([d if isinstance(d, int) else 1 for d in source.shape]).astype(np.float32)}
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        session.run(None, feed)
        times.append((time.perf_counter() - start) * 1e3)
    return float(np.median(times))


def row(model: pathlib.Path, work: pathlib.Path) -> str:
    """One line of the table."""
    host, seconds = compiled(model, work / "host", "--target", "x86_cpu")
    peer = onnxruntime_ms(model)
    arm = [compiled(model, work / cpu, "--target", "arm_cpu", "--mcpu", cpu)[0] for cpu in ARM]
    instructions = " | ".join(f"{figures['guest_instructions'] / 1e6:.2f} M" for figures in arm)
    size = f"{arm[0]['arena_bytes'] / 1024:.1f} | {arm[0]['weights_bytes'] / 1024:.0f} | {arm[0]['code_bytes'] / 1024:.0f}"
    return f"| {model.stem} | {host['median_ms']:.3g} | {f'{peer:.3g}' if peer else ''} | {instructions} | {size} | {seconds:.1f} |"


def main() -> None:
    arguments = [a for a in sys.argv[1:] if a != "--write"]
    lines = ["| network | host, ms | ONNX Runtime, ms | cortex-a53 | cortex-a76 | neoverse-v1 | arena, KiB | weights, KiB | code, KiB | compile, s |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for name in arguments:
        with tempfile.TemporaryDirectory() as folder:
            print(f"measuring {name}", file=sys.stderr)
            lines.append(row(pathlib.Path(name), pathlib.Path(folder)))
    table = "\n".join(lines)
    print(table)
    if "--write" in sys.argv:
        write_between(ROOT / "README.md", "networks", table)


if __name__ == "__main__":
    main()
