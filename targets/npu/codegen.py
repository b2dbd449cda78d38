"""Layers that the NNC-1 takes become, by a plan, a command stream, an image of its flash and places in its SRAM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from nnc_tvm.targets.npu.clock import timeline
from nnc_tvm.targets.npu.codec import rice
from nnc_tvm.targets.npu.commands import Command, Dma, encode, waiting
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.memory import Buffer, Layout, Task, live_bytes
from nnc_tvm.targets.npu.nodes import DoesNotFit, Node
from nnc_tvm.targets.npu.packing import Pack, Packed, packings, turned
from nnc_tvm.targets.npu.plan import Planner
from nnc_tvm.targets.npu.segments import Segment
from nnc_tvm.targets.npu.views import Place, row_bytes
from nnc_tvm.targets.npu.windowed import Conv, Pool


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
