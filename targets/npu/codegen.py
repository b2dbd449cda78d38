"""Layers that the NNC-1 takes become a command stream, an image of its flash and places in its SRAM."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from nnc_tvm.errors import Unsupported
from nnc_tvm.targets.npu.clock import timeline
from nnc_tvm.targets.npu.codec import rice
from nnc_tvm.targets.npu.commands import Command, Conv, Dma, Pool, encode, waiting
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.memory import Buffer, Layout, Task, live_bytes
from nnc_tvm.targets.npu.nodes import DoesNotFit, Node, fuse_sums
from nnc_tvm.targets.npu.packing import Pack, Packed, packings, turned
from nnc_tvm.targets.npu.passes import ceil
from nnc_tvm.targets.npu.plan import SIZES, Planner, Segment
from nnc_tvm.targets.npu.search import Label, fastest
from nnc_tvm.targets.npu.views import ALIGNMENT, Place, row_bytes

SLOWER = 1.1
LARGEST = SIZES[:9:3]  # pieces of weights in a plan: large ones are fast, small ones find room
EFFORT = 2400
HOPELESS = 1.3  # estimate of a plan that is not worth packing, times the best cycles
LIMITS = (0, *(int(ALIGNMENT * 1.05 ** n) for n in range(400)))  # of plans
SPACIOUS = 2  # limits above so many times what a plan needs make no other
SRAM_STEPS = (0.8, 0.95)


@dataclass(frozen=True)
class Origin:
    """Where a command comes from. node: number of the network's node. at: element of the node's output where a job's own begin. live: bytes of
    SRAM that are in use meanwhile. over: bytes of the node's output, as far as it is not a ring, that lie over what a dying input took."""

    node: int
    at: int
    live: int
    over: int


@dataclass(frozen=True, eq=False)
class Network:
    """stream, flash: for the device. inputs, outputs: SRAM offsets in the order they were asked for. cycles: by the clock. nodes: what is computed,
    sums fused. origins: of each command."""

    stream: bytes
    flash: bytes
    sram_bytes: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    cycles: int
    commands: tuple[Command, ...] = field(repr=False)
    nodes: tuple[Node, ...] = field(repr=False)
    origins: tuple[Origin, ...] = field(repr=False)


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
    """`generate` with config's SRAM for the planner's nodes. effort: commands of plans that are packed, about."""
    best: Network | None = None
    refused: list[Unsupported] = []
    spent = 0
    for hopeless in (HOPELESS, math.inf):  # the latter where none of the others finds room
        for label, own in _plans(planner, config.sram_bytes, hopeless):
            if best is not None and (spent > effort or label.time > hopeless * best.cycles):
                break
            try:
                network = for_plan(own, label.segments, replace(config, chases_rows=own.config.chases_rows), place)
            except Unsupported as error:
                refused.append(error)
                continue
            spent += len(network.commands)
            best = network if best is None or network.cycles < best.cycles else best
        if best is not None:
            return best
    raise refused[0]


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


def for_plan(planner: Planner, plan: Sequence[Segment], config: Config, place: Pack) -> Network:
    """The network of the planner's nodes by `plan`. Raises DoesNotFit."""
    layout = Layout(planner.nodes, plan, planner.inputs, planner.outputs, config)
    try:
        ways = packings(layout, config, place)
    except DoesNotFit:
        other = turned(layout, config, place)
        if not other:
            raise
        plan = [replace(segment, upward=not segment.upward) if segment in other else segment for segment in plan]
        layout = Layout(planner.nodes, plan, planner.inputs, planner.outputs, config)
        ways = packings(layout, config, place)
    made = [(packed, *_commands(layout, packed, config)) for packed in ways]
    packed, commands, flash = min(made, key=lambda each: timeline(each[1], config)[1])
    live = live_bytes(layout.buffers, len(layout.tasks), packed.first, {pair: packed.overlap(*pair) for pair in layout.distances})
    origins = _origins(layout, commands, packed, live)
    inputs, outputs = (tuple(packed.offsets[layout.values[name]] for name in names) for names in (planner.inputs, planner.outputs))
    return Network(encode(commands, config, packed.bytes, len(flash)), flash, packed.bytes, inputs, outputs, timeline(commands, config)[1], tuple(commands),
                   tuple(planner.nodes), tuple(origins))


def economical(nodes: Sequence[Node], inputs: Sequence[str], outputs: Sequence[str], config: Config, place: Pack) -> Network:
    """`generate` with as little SRAM as takes at most SLOWER times the cycles that all of config's would."""
    planner = planner_of(nodes, inputs, outputs, config)
    least = chosen = best_network(planner, config, place)
    for step in SRAM_STEPS:
        while True:
            try:
                smaller = best_network(planner, replace(config, sram_bytes=int(chosen.sram_bytes * step)), place, EFFORT // 4)
            except Unsupported:
                break
            if smaller.cycles > SLOWER * least.cycles or smaller.sram_bytes >= chosen.sram_bytes:
                break
            chosen = smaller
    return best_network(planner, replace(config, sram_bytes=chosen.sram_bytes), place)


def _commands(layout: Layout, packed: Packed, config: Config) -> tuple[list[Command], bytes]:
    """Jobs, and the DMAs of their weights as late in the stream as lets them begin at their step: behind as many jobs as the queue holds."""
    flash = bytearray()
    commands: list[Command] = []
    loads = [(number, task.piece.data, task.weights) for number, task in enumerate(layout.tasks) if task.weights is not None and task.loads]
    loaded: dict[Buffer, int] = {}
    for number, task in enumerate(layout.tasks):
        while len(loaded) < len(loads):
            user, data, weights = loads[len(loaded)]
            if min(user, packed.first[weights] + config.queue_depth - 1) > number:
                break
            commands.append(_load(data, packed.first[weights], packed.offsets[weights], flash))
            loaded[weights] = len(loaded) + 1
        places = [Place(packed.offsets[image], image.wrap) for image in task.images]
        job = task.piece.job(places, packed.offsets[task.weights] if task.weights else 0, task.rows, task.columns)
        if isinstance(job, Conv | Pool) and _upward(task, layout, packed):
            job = replace(job, upward=True)
        commands.append(waiting(job, loaded[task.weights] if task.weights else 0))
    return commands, bytes(flash)


def _upward(task: Task, layout: Layout, packed: Packed) -> bool:
    """Whether the output lies over rows of its input that are read only where tiles go upward."""
    output, source = task.images[-1], task.images[0]
    distance = layout.distances.get((output, source))
    return distance is not None and -distance.below < packed.offsets[output] - packed.offsets[source] < source.bytes


def _origins(layout: Layout, commands: Sequence[Command], packed: Packed, live: Sequence[int]) -> list[Origin]:
    """Of each command; the load of a task's weights belongs to its node."""
    origins: list[Origin] = []
    loads = iter([task.node for task in layout.tasks if task.loads])
    jobs = iter(enumerate(layout.tasks))
    over = {output: packed.overlap(output, source) for output, source in layout.distances}
    number = 0
    for command in commands:
        if isinstance(command, Dma):
            origins.append(Origin(next(loads), 0, live[number], 0))
        else:
            number, task = next(jobs)
            output = task.images[-1]
            ring = task.rows[0] * row_bytes(task.kind) if output.wrap and task.rows else 0  # rows before those that a ring begins with
            origins.append(Origin(task.node, command.output.base - packed.offsets[output] + ring, live[number],
                                  output.bytes if output in task.images[:-1] else over.get(output, 0)))
    return origins


def _load(data: bytes, after: int, destination: int, flash: bytearray) -> Dma:
    coded = rice(data)
    small = coded if len(coded) < len(data) else data
    at = len(flash)
    flash += small
    return Dma(after, at, destination, len(small), len(data), small is coded)
