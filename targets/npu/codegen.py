"""Layers that the NNC-1 takes become, by a plan, a command stream, an image of its flash and places in its SRAM."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from nnc_tvm.targets.npu.clock import timeline
from nnc_tvm.targets.npu.codec import smallest
from nnc_tvm.targets.npu.commands import Command, Job, encode, waiting
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.memory import Buffer, Layout, Load, Task, live_bytes
from nnc_tvm.targets.npu.nodes import DoesNotFit, Node
from nnc_tvm.targets.npu.packing import Pack, Packed, packings, turned
from nnc_tvm.targets.npu.plan import Planner
from nnc_tvm.targets.npu.segments import Segment
from nnc_tvm.targets.npu.transfers import Dma, Fetch, Store, Transfer
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
    """stream, flash: for the device. inputs, outputs: SRAM offsets in the order they were asked for, None where the stream itself moves
    them: these are what the host lends, in this order.
    cycles: by the clock. nodes: what is computed, sums fused. origins: of each command."""

    stream: bytes
    flash: bytes
    sram_bytes: int
    inputs: tuple[int | None, ...]
    outputs: tuple[int | None, ...]
    cycles: int
    commands: tuple[Command, ...] = field(repr=False)
    nodes: tuple[Node, ...] = field(repr=False)
    origins: tuple[Origin, ...] = field(repr=False)


def for_plan(planner: Planner, plan: Sequence[Segment], config: Config, place: Pack) -> Network:
    """The network of the planner's nodes by `plan`. Raises DoesNotFit."""
    try:
        layout, ways = _laid_out(planner, plan, config, place, True)
    except DoesNotFit:
        if planner.streamed.keys().isdisjoint(planner.outputs):
            raise
        layout, ways = _laid_out(planner, plan, config, place, False)
    made = [(packed, *_commands(layout, packed, config)) for packed in ways]
    cycles, (packed, numbered, flash) = min(((timeline([command for command, _ in each[1]], config)[1], each) for each in made), key=lambda pair: pair[0])
    live = live_bytes(layout.buffers, len(layout.tasks), packed.first, {pair: packed.overlap(*pair) for pair in layout.distances})
    commands = [command for command, _ in numbered]
    inputs, outputs = (tuple(None if name in planner.streamed else packed.offsets[layout.values[name]] for name in names)
                       for names in (planner.inputs, planner.outputs))
    return Network(encode(commands, config, packed.bytes, len(flash)), flash, packed.bytes, inputs, outputs, cycles, tuple(commands),
                   tuple(planner.nodes), tuple(_origins(layout, numbered, packed, live)))


def _laid_out(planner: Planner, plan: Sequence[Segment], config: Config, place: Pack, beside: bool) -> tuple[Layout, list[Packed]]:
    """The plan's buffers, and ways to put them into the SRAM. beside: see Layout. Raises DoesNotFit."""
    layout = Layout(planner, plan, config, beside)
    try:
        return layout, packings(layout, config, place)
    except DoesNotFit:
        other = turned(layout, config, place)
        if not other:
            raise
    plan = [replace(segment, upward=not segment.upward) if segment in other else segment for segment in plan]
    layout = Layout(planner, plan, config, beside)
    return layout, packings(layout, config, place)


def _commands(layout: Layout, packed: Packed, config: Config) -> tuple[list[tuple[Command, int]], bytes]:
    """Jobs, each with its task's number, and transfers with that of the task which they are for: what is loaded as late in the stream as lets it begin at
    its step, behind as many jobs as the queue holds; of what is due at once first what may begin first, and what is loaded behind what it takes the
    place of."""
    flash = bytearray()
    commands: list[tuple[Command, int]] = []
    loads = deque((number, load) for number, task in enumerate(layout.tasks) for load in task.loads)
    saves = deque(layout.saves)
    arrived: dict[Buffer, int] = {}
    moved = 0  # transfers so far
    for number in range(len(layout.tasks) + 1):
        due: list[tuple[Transfer, int]] = []
        loaded: list[Buffer] = []
        while loads and min(loads[0][0], packed.first[loads[0][1].buffer] + config.queue_depth - 1) <= number:
            user, load = loads.popleft()
            due.append((_load(load, packed, flash), user))
            loaded.append(load.buffer)
        while saves and saves[0].by <= number:
            save = saves.popleft()
            due.append((Store(save.lent, save.done, packed.offsets[save.buffer], save.start, save.buffer.bytes), save.done - 1))
        due.sort(key=lambda each: (each[0].after, not isinstance(each[0], Store)))
        commands += due
        moved += len(due)
        arrived.update(dict.fromkeys(loaded, moved))
        if number < len(layout.tasks):
            commands.append((_job(layout, number, packed, arrived), number))
    return commands, bytes(flash)


def _job(layout: Layout, number: int, packed: Packed, arrived: Mapping[Buffer, int]) -> Job:
    """arrived: how many transfers must have finished for a buffer to have been loaded."""
    task = layout.tasks[number]
    places = [Place(packed.offsets[image] - start, image.wrap) for image, start in zip(task.images, task.starts, strict=True)]
    job = task.piece.job(places, packed.offsets[task.weights] if task.weights else 0, task.rows, task.columns)
    if isinstance(job, Conv | Pool) and _upward(task, layout, packed):
        job = replace(job, upward=True)
    return waiting(job, max(arrived.get(buffer, 0) for buffer in (*task.images, *([task.weights] if task.weights else []))))


def _upward(task: Task, layout: Layout, packed: Packed) -> bool:
    """Whether the output lies over rows of its input that are read only where tiles go upward."""
    output, source = task.images[-1], task.images[0]
    distance = layout.distances.get((output, source))
    return distance is not None and -distance.below < packed.offsets[output] - packed.offsets[source] < source.bytes


def _origins(layout: Layout, commands: Sequence[tuple[Command, int]], packed: Packed, live: Sequence[int]) -> list[Origin]:
    """Of each command; a transfer belongs to the node whose task it is for."""
    origins: list[Origin] = []
    over = {output: packed.overlap(output, source) for output, source in layout.distances}
    now = 0
    for command, number in commands:
        task = layout.tasks[number]
        if isinstance(command, Transfer):
            origins.append(Origin(task.node, 0, live[now], 0))
        else:
            now, output = number, task.images[-1]
            ring = task.rows[0] * row_bytes(task.kind) if output.wrap and task.rows else 0  # rows before those that a ring begins with
            origins.append(Origin(task.node, command.output.base - packed.offsets[output] + task.starts[-1] + ring, live[now],
                                  output.bytes if output in task.images[:-1] else over.get(output, 0)))
    return origins


def _load(load: Load, packed: Packed, flash: bytearray) -> Dma | Fetch:
    after, destination = packed.first[load.buffer], packed.offsets[load.buffer]
    if load.data is None:
        return Fetch(load.lent, after, load.start, destination, load.buffer.bytes)
    small, coded = smallest(load.data)
    at = len(flash)
    flash += small
    return Dma(after, at, destination, len(small), len(load.data), coded)
