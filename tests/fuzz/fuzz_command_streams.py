"""Mutates command streams of the NNC-1 in a C program under AddressSanitizer and UBSan: each is refused or runs in bounds.

    python tests/fuzz/fuzz_command_streams.py 100000 [--seed 1] [--model MODEL [--npu sram=489K]]

The streams are of single jobs and of random networks with cascades; with --model, of that model's networks. Prints how many mutations had
which outcome. The same seed makes the same mutations again.
"""

from __future__ import annotations

import argparse
import pathlib
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from nnc_tvm.frontend import load  # noqa: E402  (found through the line above)
from nnc_tvm.package.arena import place  # noqa: E402
from nnc_tvm.relay_passes.partition import partition  # noqa: E402
from nnc_tvm.relay_passes.pipeline import compress, to_program  # noqa: E402
from nnc_tvm.schedules.operators import TensorType  # noqa: E402
from nnc_tvm.targets.npu.codegen import Network, for_plan  # noqa: E402
from nnc_tvm.targets.npu.config import Config  # noqa: E402
from nnc_tvm.targets.npu.network import NpuNetwork  # noqa: E402
from nnc_tvm.targets.npu.nodes import fuse_sums  # noqa: E402
from nnc_tvm.targets.npu.plan import Planner  # noqa: E402
from nnc_tvm.targets.npu.transfers import LENT, Dma, Fetch, Store  # noqa: E402
from nnc_tvm.targets.registry import get_target  # noqa: E402
from tests.npu.cases import KINDS  # noqa: E402
from tests.npu.chains import random_chain, random_plan  # noqa: E402
from tests.npu.device import REASONS, SOURCES, STRICT  # noqa: E402

CASES_OF_A_KIND = 60
NETWORKS = 120  # of random layers, a fifth of all cases


def encoded(stream: bytes, flash: bytes, sram_bytes: int, sources: Sequence[int], outputs: Sequence[int]) -> bytes:
    """A case as fuzz_streams.c reads it. sources, outputs: bytes of what the host lends."""
    lent = [0] * LENT, [0] * LENT
    for number, size in enumerate((*sources, *outputs)):
        lent[0][number], lent[1][number] = size, int(number >= len(sources))
    return struct.pack(f"<{3 + 2 * LENT}I", len(stream), len(flash), sram_bytes, *lent[0], *lent[1]) + stream + flash


def jobs(rng: np.random.Generator) -> bytes:
    """Valid streams of every operation: each job by itself, and again after a DMA that waits for it; some fetched into and stored from."""
    cases = [make(rng) for make in KINDS.values() for _ in range(CASES_OF_A_KIND)]
    for case in cases[::2]:
        case.commands = [*case.commands, *(replace(c, after=1) if isinstance(c, Dma) else c for c in case.commands)]
    for case in cases[::3]:
        base, size = case.output.base, case.output.elements
        case.commands = [Fetch(0, 0, 3, base, size), *case.commands, Store(1, 1, base, 5, size)]
    return b"".join(encoded(case.stream, case.flash, case.sram.size, [case.output.elements + 3], [case.output.elements + 5]) for case in cases)


def networks(rng: np.random.Generator) -> bytes:
    """Streams of several layers: their jobs one after the other, or in stripes of images that are kept as rings of rows; some with images of the host."""
    found = b""
    for _ in range(NETWORKS):
        nodes = random_chain(rng, int(rng.integers(2, 7)), (4, 26))
        output = (nodes[-1].output,)
        planner = Planner(fuse_sums(nodes, output), ("x",), output, Config())
        planner = [planner, *planner.streaming][rng.integers(1 + len(planner.streaming))]
        network = for_plan(planner, random_plan(rng, planner.nodes, bool(planner.streamed)), Config(), place)
        found += of_network(network, nodes[0].operator.inputs, nodes[-1].operator.output)
    return found


def of_network(network: Network, inputs: Sequence[TensorType], output: TensorType) -> bytes:
    """Its stream, with as much of the host's memory as it is lent."""
    sources = [kind.bytes for kind, at in zip(inputs, network.inputs, strict=True) if at is None]
    return encoded(network.stream, network.flash, network.sram_bytes, sources, [output.bytes] if network.outputs[0] is None else [])


def of_model(path: pathlib.Path, npu: str) -> bytes:
    """The streams of a model's networks."""
    source, target = load(path), get_target("npu", npu_options=npu or None)
    program = partition(compress(to_program(source.module, "fixed"), target), target.companion, place)
    found = [layer.operator for layer in program.layers if isinstance(layer.operator, NpuNetwork)]
    return b"".join(of_network(operator.network, operator.inputs, operator.output) for operator in found)


def small_streams(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    return jobs(rng) + networks(rng)


def fuzz(count: int, seed: int, corpus: bytes) -> dict[str, int]:
    """How many mutations of the streams of `corpus` had which outcome. Raises CalledProcessError where a sanitizer objects."""
    with tempfile.TemporaryDirectory(prefix="nnc-fuzz-") as folder:
        program, inputs = f"{folder}/fuzz", pathlib.Path(folder, "corpus")
        inputs.write_bytes(corpus)
        sanitizers = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
        subprocess.run(["gcc", *STRICT, *sanitizers, str(ROOT / "tests/npu/fuzz_streams.c"), *SOURCES, "-o", program], check=True)
        output = subprocess.run([program, inputs, str(count), str(seed)], check=True, stdout=subprocess.PIPE, text=True).stdout
    return dict(zip(REASONS, map(int, output.split()), strict=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--npu", default="", help="options of the target, with --model")
    arguments = parser.parse_args()
    streams = of_model(arguments.model, arguments.npu) if arguments.model else small_streams(arguments.seed)
    for reason, number in fuzz(arguments.count, arguments.seed, streams).items():
        print(f"{number:8} {reason}")
