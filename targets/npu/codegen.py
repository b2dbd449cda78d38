"""Layers that the NNC-1 takes become a command stream, an image of its flash and places in its SRAM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from nnc_tvm.errors import Unsupported
from nnc_tvm.schedules.operators import LinearCombination, Operator, Reshape
from nnc_tvm.schedules.operators.operator import WeightedSum
from nnc_tvm.targets.npu.clock import timeline
from nnc_tvm.targets.npu.codec import rice
from nnc_tvm.targets.npu.commands import Command, Dma, Job, encode, waiting
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.jobs import Fused, Piece, pieces

AHEAD = 6  # jobs before its own that a weight may be loaded

SLOWER = 1.1
PIECE_SHARES = (8, 3)  # of the SRAM that one piece of weights may take
STEPS = (0.8, 0.95)

Place = Callable[[Sequence[tuple[int, int, int]]], "tuple[Sequence[int], int, int]"]
"""(bytes, first step, last step) of each buffer -> offsets, bytes in all, and what is live at once at the most."""


@dataclass(frozen=True, eq=False)
class Node:
    """An operator on named values: what codegen needs of a layer."""

    name: str
    operator: Operator
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True)
class Origin:
    """Where a command comes from. node: number of the network's node. at: element of the node's output where a job's own begin. live: bytes of
    SRAM that are in use meanwhile."""

    node: int
    at: int
    live: int


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


@dataclass(eq=False)
class _Buffer:
    """SRAM from step `first` to step `last`."""

    bytes: int
    first: int
    last: int


@dataclass(frozen=True, eq=False)
class _Task:
    """A job to be, of node number `node`: the piece's data lies in `weights`, its images in `images` (inputs, then the output)."""

    node: int
    name: str
    piece: Piece
    images: tuple[_Buffer, ...]
    weights: _Buffer | None


def generate(nodes: Sequence[Node], inputs: Sequence[str], outputs: Sequence[str], config: Config, place: Place) -> Network:
    """The network of `nodes` for the device, with its weights in pieces of the size that gives the fewest cycles.

    Raises Unsupported naming the layer that does not fit the SRAM.
    """
    found: list[Network] = []
    refused: list[Unsupported] = []
    for share in PIECE_SHARES:
        try:
            found.append(_generate(fuse_sums(nodes, outputs) if config.fuses_sums else nodes, inputs, outputs, config, place, config.sram_bytes // share))
        except Unsupported as error:
            refused.append(error)
    if not found:
        raise refused[0]
    return min(found, key=lambda network: network.cycles)


def _generate(nodes: Sequence[Node], inputs: Sequence[str], outputs: Sequence[str], config: Config, place: Place, most: int) -> Network:
    """`most`: bytes of weights in a piece."""
    values, tasks = _buffers(nodes, inputs, outputs, config, most)
    buffers = list({id(b): b for task in tasks for b in (*task.images, *([task.weights] if task.weights else []))}.values())
    _load_ahead(tasks, buffers, config)
    offsets, total = _place(tasks, buffers, config, place)
    commands, flash = _commands(tasks, offsets)
    origins = _origins(tasks, buffers, offsets, commands)
    _, cycles = timeline(commands, config)
    return Network(encode(commands, config, total, len(flash)), flash, total, tuple(offsets[id(values[n])] for n in inputs),
                   tuple(offsets[id(values[n])] for n in outputs), cycles, tuple(commands), tuple(nodes), tuple(origins))


def economical(nodes: Sequence[Node], inputs: Sequence[str], outputs: Sequence[str], config: Config, place: Place) -> Network:
    """`generate` with as little SRAM as takes at most SLOWER times the cycles that all of config's would."""
    fastest = chosen = generate(nodes, inputs, outputs, config, place)
    for step in STEPS:
        while True:
            try:
                smaller = generate(nodes, inputs, outputs, replace(config, sram_bytes=int(chosen.sram_bytes * step)), place)
            except Unsupported:
                break
            if smaller.cycles > SLOWER * fastest.cycles or smaller.sram_bytes >= chosen.sram_bytes:
                break
            chosen = smaller
    return chosen


def fuse_sums(nodes: Sequence[Node], outputs: Sequence[str]) -> list[Node]:
    """Sums with the result of the convolution right before them become its epilogue: a node of operators joined by `Fused`."""
    fused: list[Node] = []
    for node in nodes:
        previous = fused[-1] if fused else None
        if previous is not None and _fusible(previous, node, nodes, outputs):
            assert isinstance(previous.operator, WeightedSum) and isinstance(node.operator, LinearCombination)
            other = node.inputs[1] if node.inputs[0] == previous.output else node.inputs[0]
            operator = Fused((*previous.operator.inputs, node.operator.inputs[0]), node.operator.output, previous.operator, node.operator,
                             node.inputs[0] != previous.output)
            fused[-1] = Node(node.name, operator, (*previous.inputs, other), node.output)
        else:
            fused.append(node)
    return fused


def _fusible(previous: Node, node: Node, nodes: Sequence[Node], outputs: Sequence[str]) -> bool:
    readers = [name for other in nodes for name in other.inputs if name == previous.output]
    return (isinstance(node.operator, LinearCombination) and isinstance(previous.operator, WeightedSum) and readers == [previous.output]
            and previous.output in node.inputs and previous.output not in outputs)


def _buffers(nodes: Sequence[Node], inputs: Sequence[str], outputs: Sequence[str], config: Config, most: int) -> tuple[dict[str, _Buffer], list[_Task]]:
    """The memory of every value, and the tasks in order."""
    last_read = {name: number for number, node in enumerate(nodes) for name in node.inputs}
    last_read.update(dict.fromkeys(outputs, len(nodes)))
    values: dict[str, _Buffer] = {}
    tasks: list[_Task] = []
    for number, node in enumerate(nodes):
        for name, kind in zip(node.inputs, node.operator.inputs, strict=True):
            values.setdefault(name, _Buffer(kind.bytes, 0, 0))  # a value from outside
        if isinstance(node.operator, Reshape):
            values[node.output] = values[node.inputs[0]]
            continue
        made = pieces(node.operator, config, most)
        over = next((n for n in node.inputs[::-1] if made[0].may_overwrite(node.inputs.index(n)) and last_read[n] == number and n not in outputs
                     and _owners(values, n, last_read, number)), None)
        output = values[over] if over is not None else _Buffer(node.operator.output.bytes, len(tasks), 0)
        values[node.output] = output
        images = (*(values[n] for n in node.inputs), output)
        for piece in made:
            for image in images:
                image.last = max(image.last, len(tasks))
            tasks.append(_Task(number, node.name, piece, images, _Buffer(len(piece.data), len(tasks), len(tasks)) if piece.data else None))
    for name in outputs:
        values[name].last = len(tasks)
    return values, tasks


def _owners(values: dict[str, _Buffer], name: str, last_read: dict[str, int], number: int) -> bool:
    """Whether no other name of the same memory is read later."""
    return all(last_read.get(other, -1) <= number for other, buffer in values.items() if buffer is values[name])


def _live(buffers: Sequence[_Buffer], step: int) -> int:
    return sum(b.bytes + 15 & ~15 for b in buffers if b.first <= step <= b.last)


def _load_ahead(tasks: Sequence[_Task], buffers: Sequence[_Buffer], config: Config) -> None:
    """Weights are loaded as many jobs ahead as the SRAM has room for, in order."""
    earliest = 0
    for number, task in enumerate(tasks):
        if task.weights is None:
            continue
        while task.weights.first > max(earliest, number - AHEAD) and _live(buffers, task.weights.first - 1) + task.weights.bytes + 15 < config.sram_bytes:
            task.weights.first -= 1
        earliest = task.weights.first


def _place(tasks: Sequence[_Task], buffers: Sequence[_Buffer], config: Config, place: Place) -> tuple[dict[int, int], int]:
    """Offsets by the buffers' identity, and the bytes in all. Weights are loaded later where the packing needs it."""
    late = sorted((t for t in tasks if t.weights), key=lambda t: -t.weights.bytes if t.weights else 0)
    while True:
        offsets, total, bound = place([(b.bytes, b.first, b.last) for b in buffers])
        if total <= config.sram_bytes:
            return {id(b): offset for b, offset in zip(buffers, offsets, strict=True)}, total
        ahead = [(number, task.weights) for number, task in enumerate(tasks) if task.weights and task in late and task.weights.first < number]
        if not ahead:
            step = max(range(len(tasks)), key=lambda s: _live(buffers, s))
            raise Unsupported(f"layer '{tasks[step].name}' needs {_live(buffers, step)} bytes of SRAM at once ({total} with what lies between), the NPU has "
                              f"{config.sram_bytes}; give it more (--npu sram=...)")
        number, weights = max(ahead, key=lambda pair: pair[1].bytes * (pair[0] - pair[1].first))
        weights.first += 1
        for later in (t.weights for t in tasks[number:] if t.weights):
            later.first = max(later.first, weights.first)


def _commands(tasks: Sequence[_Task], offsets: dict[int, int]) -> tuple[list[Command], bytes]:
    """Each job behind the DMA of its weights, which begins once the jobs before its first step have finished: earlier jobs are in the queue by then."""
    flash = bytearray()
    commands: list[Command] = []
    loaded = 0
    for task in tasks:
        if task.weights is not None:
            commands.append(_load(task.piece.data, task.weights.first, offsets[id(task.weights)], flash))
            loaded += 1
        commands.append(waiting(_job(task, offsets), loaded if task.weights else 0))
    return commands, bytes(flash)


def _origins(tasks: Sequence[_Task], buffers: Sequence[_Buffer], offsets: dict[int, int], commands: Sequence[Command]) -> list[Origin]:
    """Of each command; the load of a task's weights belongs to its node."""
    origins: list[Origin] = []
    jobs = iter(job for job in commands if not isinstance(job, Dma))
    for number, task in enumerate(tasks):
        at, live = next(jobs).output.base - offsets[id(task.images[-1])], _live(buffers, number)
        origins += [Origin(task.node, at, live)] * (1 + (task.weights is not None))
    return origins


def _load(data: bytes, after: int, destination: int, flash: bytearray) -> Dma:
    coded = rice(data)
    small = coded if len(coded) < len(data) else data
    at = len(flash)
    flash += small
    return Dma(after, at, destination, len(small), len(data), small is coded)


def _job(task: _Task, offsets: dict[int, int]) -> Job:
    return task.piece.job([offsets[id(image)] for image in task.images], offsets[id(task.weights)] if task.weights else 0)
