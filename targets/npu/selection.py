"""Which plan a network is compiled by: of the promising ones the one whose whole timeline, once buffers have their places, is the shortest."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from nnc_tvm.errors import Unsupported
from nnc_tvm.targets.npu.codegen import Network, for_plan
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.nearby import Ways, nearby
from nnc_tvm.targets.npu.nodes import DoesNotFit, Node, fuse_sums
from nnc_tvm.targets.npu.packing import Pack
from nnc_tvm.targets.npu.passes import ceil
from nnc_tvm.targets.npu.plan import SIZES, Planner
from nnc_tvm.targets.npu.search import Label, fastest
from nnc_tvm.targets.npu.segments import Segment
from nnc_tvm.targets.npu.views import ALIGNMENT

SLOWER = 1.1
LARGEST = SIZES[:9:3]  # pieces of weights in a plan: large ones are fast, small ones find room
EFFORT = 4800
LEAST_PLANS = 8  # of the search, however many commands they have, at EFFORT
FEW = 40  # commands: a plan of fewer takes as long to pack
HOPELESS = 1.3  # estimate of a plan that is not worth packing, times the best cycles
LIMITS = (0, *(int(ALIGNMENT * 1.05 ** n) for n in range(400)))  # of plans
SPACIOUS = 2  # limits above so many times what a plan needs make no other
SRAM_STEPS = (0.8, 0.95)


class _Best(NamedTuple):
    """The best network so far, by the planner's plan. effort: that is left."""

    network: Network
    plan: Sequence[Segment]
    planner: Planner
    effort: int


def generate(nodes: Sequence[Node], inputs: Sequence[str], outputs: Sequence[str], config: Config, place: Pack) -> Network:
    """The network of `nodes` for the device: of several plans the one with the fewest cycles.

    Raises DoesNotFit naming the layer that does not fit the SRAM, and the least with which it would.
    """
    planner = planner_of(nodes, inputs, outputs, config)
    try:
        return best_network(planner, config, place)
    except DoesNotFit as error:
        raise DoesNotFit(error.node, _least_sram(planner, error.needed, place), config.sram_bytes) from None


def _least_sram(planner: Planner, needed: int, place: Pack) -> int:
    """Bytes with which the network fits, while with ALIGNMENT fewer it does not. needed: about so many."""

    def fits(size: int) -> bool:
        config = replace(planner.config, sram_bytes=size)
        try:
            best_network(replace(planner, config=config, found={}), config, place, 0)
        except DoesNotFit:
            return False
        return True

    low, high = planner.config.sram_bytes // ALIGNMENT, ceil(max(needed, planner.config.sram_bytes + 1), ALIGNMENT)
    while not fits(high * ALIGNMENT):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle * ALIGNMENT) else (middle, high)
    return high * ALIGNMENT


def planner_of(nodes: Sequence[Node], inputs: Sequence[str], outputs: Sequence[str], config: Config) -> Planner:
    """For plans of a network under several limits of the SRAM."""
    return Planner(fuse_sums(nodes, outputs) if config.fuses_sums else nodes, inputs, outputs, config)


def best_network(planner: Planner, config: Config, place: Pack, effort: int = EFFORT) -> Network:
    """`generate` with config's SRAM for the planner's nodes: with inputs and outputs that stay in the host's memory where that is faster, or all that fits.
    effort: commands of plans that are packed, about: two thirds of them of plans that the search finds, the rest of plans near the best of those."""
    best: _Best | None = None
    refused: list[Unsupported] = []
    for own in (planner, *planner.streaming):
        try:
            if best is None or fastest(own, config.sram_bytes).time < best.network.cycles:
                found = _searched(own, config, place, effort)
                best = found if best is None or found.network.cycles < best.network.cycles else best
        except Unsupported as error:
            refused.append(error)
    if best is None:
        raise min(refused, key=lambda error: error.needed if isinstance(error, DoesNotFit) else math.inf)
    return _improved(best, config, place)


def network_of(planner: Planner, config: Config, place: Pack, effort: int = EFFORT) -> Network:
    """`best_network` with just the planner's inputs and outputs in the host's memory."""
    return _improved(_searched(planner, config, place, effort), config, place)


def _searched(planner: Planner, config: Config, place: Pack, effort: int) -> _Best:
    """Of the plans that the search finds."""
    best: _Best | None = None
    refused: list[Unsupported] = []
    left, packed = effort, 0
    for hopeless in (HOPELESS, math.inf):  # the latter where none of the others finds room
        for label, own in _plans(planner, config.sram_bytes, hopeless):
            enough = 3 * left < effort and packed >= LEAST_PLANS * effort // EFFORT
            if best is not None and (enough or label.time > hopeless * best.network.cycles):
                break
            try:
                network = for_plan(own, label.segments, replace(config, chases_rows=own.config.chases_rows), place)
            except Unsupported as error:
                refused.append(error)
                continue
            left, packed = left - max(FEW, len(network.commands)), packed + 1
            if best is None or network.cycles < best.network.cycles:
                best = _Best(network, label.segments, own, 0)
        if best is not None:
            return best._replace(effort=left)
    raise refused[0]


def _improved(best: _Best, config: Config, place: Pack) -> Network:
    """By plans near the best one, and from each that is better on by those near that."""
    tried, left = Ways(), best.effort
    near = nearby(best.planner, best.plan, config.sram_bytes, best.network.cycles, tried)
    while near and left > 0:
        segment, plan = near.pop(0)
        tried[segment] += 1
        left -= max(FEW, len(best.network.commands))
        try:
            network = for_plan(best.planner, plan, replace(config, chases_rows=best.planner.config.chases_rows), place)
        except Unsupported:
            continue
        if network.cycles < best.network.cycles:
            best = _Best(network, plan, best.planner, left)
            near = nearby(best.planner, best.plan, config.sram_bytes, best.network.cycles, tried)
    return best.network


def _plans(planner: Planner, sram: int, hopeless: float) -> list[tuple[Label, Planner]]:
    """With outputs over their inputs and without, of pieces of several sizes and under several limits, what is the fastest by the estimate first. What may
    overlap is no faster than what need not for all plans. hopeless: times the fewest cycles, what is not worth asking. Raises DoesNotFit."""
    found: dict[tuple[bool, tuple[Segment, ...]], tuple[Label, Planner]] = {}
    refused: list[DoesNotFit] = []
    for own, largest in itertools.product((planner, planner.disjoint) if planner.config.chases_rows else (planner,), LARGEST):
        limit: float = sram
        least = math.inf
        try:
            while True:
                label = fastest(own, int(limit), largest)
                least = min(least, label.time)
                if label.time > hopeless * least:
                    break
                found.setdefault((own is planner, tuple(label.segments)), (label, own))
                limit = _below(min(limit, SPACIOUS * label.bytes))
        except DoesNotFit as error:
            refused.append(error)
    if not found:
        raise refused[0]
    return sorted(found.values(), key=lambda pair: pair[0].time)


def _below(limit: float) -> int:
    """The next smaller limit of plans, the same whatever SRAM there is, so that more of it has no fewer plans."""
    return next(smaller for smaller in reversed(LIMITS) if smaller < limit)


def economical(nodes: Sequence[Node], inputs: Sequence[str], outputs: Sequence[str], config: Config, place: Pack) -> Network:
    """`generate` with as little SRAM as takes at most SLOWER times the cycles that all of config's would. Inputs and outputs stay in the host's memory only
    where all of config's SRAM is too little for them."""
    planner, best = planner_of(nodes, inputs, outputs, config), network_of
    try:
        least = chosen = best(planner, config, place)
    except Unsupported:
        best = best_network
        least = chosen = best(planner, config, place)
    for step in SRAM_STEPS:
        while True:
            try:
                smaller = best(planner, replace(config, sram_bytes=int(chosen.sram_bytes * step)), place, EFFORT // 4)
            except Unsupported:
                break
            if smaller.cycles > SLOWER * least.cycles or smaller.sram_bytes >= chosen.sram_bytes:
                break
            chosen = smaller
    return best(planner, replace(config, sram_bytes=chosen.sram_bytes), place)
