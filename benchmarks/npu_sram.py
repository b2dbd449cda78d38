"""The least SRAM that networks do with on the NPU, and their cycles with less and less of it: with outputs written over their dying inputs, and without.

usage: python benchmarks/npu_sram.py MODEL ...

Plans each model's longest run of layers that the device takes under limits of the SRAM, from what all of it at once needs down to the least that some plan
meets, each a tenth below the one before. Figures are the compiler's, which the device keeps to the cycle (tests/npu/test_codegen.py). Ends with 1 where
writing over inputs takes more cycles under some limit, or has a larger least.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence
from dataclasses import replace

from nnc_tvm.errors import Unsupported
from nnc_tvm.frontend import load
from nnc_tvm.package.arena import place
from nnc_tvm.relay_passes.pipeline import to_program
from nnc_tvm.targets.npu.codegen import Network
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.constraints import refusal
from nnc_tvm.targets.npu.nodes import Node
from nnc_tvm.targets.npu.plan import Planner
from nnc_tvm.targets.npu.selection import best_network, planner_of

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


def under(planner: Planner, limit: int) -> Network | None:
    try:
        return best_network(planner, replace(planner.config, sram_bytes=limit), place)
    except Unsupported:
        return None


def least(planner: Planner, meets: int) -> Network:
    """Of the networks under limits below `meets`, which some plan meets, one that has about the least SRAM."""
    low, found = meets // 8, under(planner, meets)
    assert found is not None
    while found.sram_bytes - low > LEAST * found.sram_bytes:
        middle = (low + found.sram_bytes) // 2
        smaller = under(planner, middle)
        low, found = (middle, found) if smaller is None else (low, smaller)
    return found


def rows(planners: Sequence[Planner]) -> list[tuple[int, list[Network | None]]]:
    """Limits, and the network of each planner under them, until none meets the limit."""
    limit = max(network.sram_bytes for planner in planners if (network := under(planner, ROOMY.sram_bytes)) is not None)
    found: list[tuple[int, list[Network | None]]] = []
    while any(networks := [under(planner, limit) for planner in planners]):
        found.append((limit, networks))
        limit = int(limit * STEP)
    return found


def main() -> int:
    worse = False
    for model in map(pathlib.Path, sys.argv[1:]):
        planners = [planner_of(*longest_run(model), replace(ROOMY, chases_rows=chases)) for chases in (True, False)]
        print(f"\n{model.stem}\n| limit | cycles | SRAM | without | SRAM | of its cycles |\n|---|---|---|---|---|---|", flush=True)
        table = rows(planners)
        for limit, (own, other) in table:
            cells = [f"{n.cycles} | {n.sram_bytes}" if n is not None else "does not fit |" for n in (own, other)]
            print(f"| {limit} | {cells[0]} | {cells[1]} | {'' if own is None or other is None else f'{own.cycles / other.cycles:.3f}'} |")
            worse |= own is None or (other is not None and own.cycles > other.cycles)
        smallest = [least(planner, min(limit for limit, networks in table if networks[number] is not None)) for number, planner in enumerate(planners)]
        print("least: " + ", without ".join(f"{network.sram_bytes} bytes, {network.cycles} cycles" for network in smallest), flush=True)
        worse |= smallest[0].sram_bytes > smallest[1].sram_bytes
    return int(worse)


if __name__ == "__main__":
    sys.exit(main())
