"""The least SRAM that networks do with on the NPU, and their cycles with less and less of it: as the compiler plans them, without inputs and outputs that stay
in the host's memory, and without outputs written over their dying inputs, either.

usage: python benchmarks/npu_sram.py MODEL ...

Plans each model's longest run of layers that the device takes under limits of the SRAM, from what all of it at once needs down to the least that some plan
meets, each a tenth below the one before. Figures are the compiler's, which the device keeps to the cycle (tests/npu/test_codegen.py). Ends with 1 where
one of these takes more cycles under some limit than what goes without, or has a larger least.
"""

from __future__ import annotations

import math
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from nnc_tvm.errors import Unsupported
from nnc_tvm.frontend import load
from nnc_tvm.package.arena import place
from nnc_tvm.relay_passes.pipeline import to_program
from nnc_tvm.targets.npu.codegen import Network
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.constraints import refusal
from nnc_tvm.targets.npu.nodes import Node
from nnc_tvm.targets.npu.packing import Pack
from nnc_tvm.targets.npu.plan import Planner
from nnc_tvm.targets.npu.selection import best_network, network_of, planner_of

ROOMY = Config(sram_bytes=2 << 20)
STEP = 0.9
LEAST = 0.005  # how near the least limit is found, as a share of it


def longest_run(model: pathlib.Path) -> tuple[list[Node], list[str], list[str]]:
    """Layers that the device takes, one after the other; what they read, and what the last of them makes."""
    runs: list[list[Node]] = [[]]
    for layer in to_program(load(model).module, "fixed").layers:
        if refusal(layer.operator, ROOMY) is None:
            runs[-1].append(Node(layer.name, layer.operator, layer.inputs, layer.output))
        else:
            runs.append([])
    nodes = max(runs, key=len)
    made = {node.output for node in nodes}
    return nodes, list(dict.fromkeys(name for node in nodes for name in node.inputs if name not in made)), [nodes[-1].output]


@dataclass(frozen=True)
class Way:
    """How plans are made: by `find`, for `planner`."""

    name: str
    find: Callable[[Planner, Config, Pack], Network]
    planner: Planner

    def under(self, limit: int) -> Network | None:
        try:
            return self.find(self.planner, replace(self.planner.config, sram_bytes=limit), place)
        except Unsupported:
            return None


def ways(model: pathlib.Path) -> list[Way]:
    """As the compiler does, and with less and less of it."""
    run = longest_run(model)
    chasing, disjoint = (planner_of(*run, replace(ROOMY, chases_rows=chases)) for chases in (True, False))
    return [Way("compiler", best_network, chasing), Way("images in SRAM", network_of, chasing), Way("and outputs beside inputs", network_of, disjoint)]


def least(way: Way, meets: int) -> Network:
    """Of the networks under limits below `meets`, which some plan meets, one that has about the least SRAM."""
    low, found = meets // 8, way.under(meets)
    assert found is not None
    while found.sram_bytes - low > LEAST * found.sram_bytes:
        middle = (low + found.sram_bytes) // 2
        smaller = way.under(middle)
        low, found = (middle, found) if smaller is None else (low, smaller)
    return found


def rows(found: Sequence[Way]) -> Iterator[tuple[int, list[Network | None]]]:
    """Limits, and the network of each way under them, until none meets the limit."""
    limit = max(network.sram_bytes for way in found if (network := way.under(ROOMY.sram_bytes)) is not None)
    while any(networks := [way.under(limit) for way in found]):
        yield limit, networks
        limit = int(limit * STEP)


def main() -> int:
    worse = False
    for model in map(pathlib.Path, sys.argv[1:]):
        found, met = ways(model), {}
        print(f"\n{model.stem}\n| limit | {' | SRAM | '.join(way.name for way in found)} | SRAM |\n|{'---|' * (1 + 2 * len(found))}", flush=True)
        for limit, networks in rows(found):
            print(f"| {limit} | " + " | ".join(f"{n.cycles} | {n.sram_bytes}" if n is not None else "does not fit |" for n in networks) + " |", flush=True)
            met.update((way.name, limit) for way, network in zip(found, networks, strict=True) if network is not None)
            cycles = [math.inf if network is None else network.cycles for network in networks]
            worse |= cycles != sorted(cycles)
        smallest = [least(way, met[way.name]) for way in found]
        print("least: " + ", ".join(f"{way.name} {network.sram_bytes} bytes, {network.cycles} cycles" for way, network in zip(found, smallest, strict=True)),
              flush=True)
        sizes = [network.sram_bytes for network in smallest]
        worse |= sizes != sorted(sizes)
    return int(worse)


if __name__ == "__main__":
    sys.exit(main())
