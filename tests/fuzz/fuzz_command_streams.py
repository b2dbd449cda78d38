"""Mutates command streams of the NNC-1 in a C program under AddressSanitizer and UBSan: each is refused or runs in bounds.

    python tests/fuzz/fuzz_command_streams.py 100000 [--seed 1]

Prints how many had which outcome. The same seed makes the same mutations again.
"""

from __future__ import annotations

import argparse
import pathlib
import struct
import subprocess
import sys
import tempfile
from dataclasses import replace

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from nnc_tvm.targets.npu.commands import Dma  # noqa: E402  (found through the line above)
from tests.npu.cases import KINDS  # noqa: E402
from tests.npu.device import REASONS, SOURCES, STRICT  # noqa: E402

CASES_OF_A_KIND = 60


def corpus(rng: np.random.Generator) -> bytes:
    """Valid streams of every operation, as fuzz_streams.c reads them: each job by itself, and again after a DMA that waits for it."""
    cases = [make(rng) for make in KINDS.values() for _ in range(CASES_OF_A_KIND)]
    for case in cases[::2]:
        case.commands = [*case.commands, *(replace(c, after=1) if isinstance(c, Dma) else c for c in case.commands)]
    return b"".join(struct.pack("<3I", len(c.stream), len(c.flash), c.sram.size) + c.stream + c.flash for c in cases)


def fuzz(count: int, seed: int) -> dict[str, int]:
    """How many mutations had which outcome. Raises CalledProcessError where a sanitizer objects."""
    with tempfile.TemporaryDirectory(prefix="nnc-fuzz-") as folder:
        program, inputs = f"{folder}/fuzz", pathlib.Path(folder, "corpus")
        inputs.write_bytes(corpus(np.random.default_rng(seed)))
        sanitizers = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
        subprocess.run(["gcc", *STRICT, *sanitizers, str(ROOT / "tests/npu/fuzz_streams.c"), *SOURCES, "-o", program], check=True)
        output = subprocess.run([program, inputs, str(count), str(seed)], check=True, stdout=subprocess.PIPE, text=True).stdout
    return dict(zip(REASONS, map(int, output.split()), strict=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for reason, number in fuzz(arguments.count, arguments.seed).items():
        print(f"{number:8} {reason}")
