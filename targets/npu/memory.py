"""The buffers of a plan: what lives in SRAM from which job to which, and where."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nnc_tvm.schedules.operators import Reshape, TensorType
from nnc_tvm.targets.distance import Distance
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.jobs import pieces
from nnc_tvm.targets.npu.nodes import Node
from nnc_tvm.targets.npu.overlap import output_distance, within
from nnc_tvm.targets.npu.piece import Piece
from nnc_tvm.targets.npu.plan import Planner, whole_pieces
from nnc_tvm.targets.npu.segments import Segment
from nnc_tvm.targets.npu.streaming import fetched, stored
from nnc_tvm.targets.npu.stripes import Cascade, cascade, end_distance, may_write_over
from nnc_tvm.targets.npu.views import Columns, Rows, aligned, extents, row_bytes


@dataclass(eq=False)
class Buffer:
    """SRAM from step `first` to step `last`. wrap: rows, where it is the ring of some rows of an image."""

    bytes: int
    first: int
    last: int
    wrap: int = 0

    @property
    def room(self) -> int:
        return aligned(self.bytes)


Parts = dict[int, tuple[Buffer, int]]
"""By the position of an image among a node's inputs, and behind them its output: a buffer, and the byte that it begins with."""


@dataclass(frozen=True, eq=False)
class Load:
    """What comes into a buffer: `data` from flash, or where that is None the host's block number `lent` from byte `start` on."""

    buffer: Buffer
    data: bytes | None
    lent: int = 0
    start: int = 0


@dataclass(eq=False)
class Save:
    """A buffer that goes to the host's block number `lent`, to byte `start` and on, once task `done` has run: before task `by` begins."""

    buffer: Buffer
    lent: int
    start: int
    done: int
    by: int


@dataclass(frozen=True, eq=False)
class Task:
    """A job to be, of `columns` of output `rows` (None: all) of node number `node`: the piece's data lies in `weights`, its images in `images` (inputs,
    then the output, of type `kind`), of which the buffers hold what comes from byte `starts` on. loads: what comes for this job; else it is there."""

    node: int
    kind: TensorType
    piece: Piece
    images: tuple[Buffer, ...]
    starts: tuple[int, ...]
    weights: Buffer | None
    loads: tuple[Load, ...]
    rows: Rows | None
    columns: Columns


class Layout:
    """values: the memory of every value, but for those of which stripes are streamed. tasks: in order. saves: in order. distances: of outputs to inputs that
    they may be written over, before those are dead. ends: the cascades among them, and what the input is called.

    planner: whose nodes are laid out. beside: whether a stripe of the output goes to the host while the next one is computed, not before."""

    def __init__(self, planner: Planner, plan: Sequence[Segment], config: Config, beside: bool) -> None:
        nodes = self.nodes = planner.nodes
        self.lives, self.streamed, self.config, self.beside = planner.lives, planner.streamed, config, beside
        self.values: dict[str, Buffer] = {}
        self.tasks: list[Task] = []
        self.saves: list[Save] = []
        self._loaded: set[Buffer] = set()
        self.distances: dict[tuple[Buffer, Buffer], Distance] = {}
        self.ends: dict[tuple[Buffer, Buffer], tuple[Segment, str]] = {}
        for segment in plan:
            for node in nodes[segment.first:segment.last]:
                for name, kind in zip(node.inputs, node.operator.inputs, strict=True):
                    if name in planner.inputs and name not in self.streamed:
                        self.values.setdefault(name, Buffer(kind.bytes, 0, 0))
            if segment.height is not None:
                self._cascade(segment, cascade(nodes[segment.first:segment.last], segment.height, segment.upward))
            elif isinstance(nodes[segment.first].operator, Reshape):
                if nodes[segment.first].output not in self.streamed:
                    self.values[nodes[segment.first].output] = self.values[nodes[segment.first].inputs[0]]
            else:
                self._layer(segment.first, segment.most, segment.reach)
        for name in planner.outputs:
            if name not in self.streamed:
                self.values[name].last = len(self.tasks)

    def _layer(self, number: int, most: int, reach: int | None) -> None:
        node = self.nodes[number]
        made = pieces(node.operator, self.config, most) if reach is None else [within(whole_pieces(node.operator, self.config)[0], reach)]
        over = next((n for n in node.inputs[::-1] if node.inputs.index(n) in made[0].overwrites and self._dies(n, number)), None)
        self.values[node.output] = self.values[over] if over is not None else Buffer(node.operator.output.bytes, len(self.tasks), 0)
        distance, first = output_distance(made), node.inputs[0]
        if self.config.chases_rows and distance is not None and over is None and self._dies(first, number) and node.inputs.count(first) == 1:
            self.distances[self.values[node.output], self.values[first]] = distance
        parts = self._fetched(node, None)
        for piece in made:
            self._tasks(number, piece, Buffer(len(piece.data), len(self.tasks), 0) if piece.data else None, None, parts)
        self._store(node, None, self.values[node.output])

    def _cascade(self, segment: Segment, found: Cascade) -> None:
        nodes = self.nodes[segment.first:segment.last]
        for node in nodes[:-1]:
            rows, kind = found.rings[node.output], node.operator.output
            self.values[node.output] = Buffer(rows * row_bytes(kind), len(self.tasks), 0, rows if rows < extents(kind)[0] else 0)
        made, last = [whole_pieces(node.operator, self.config)[0] for node in nodes], nodes[-1]
        streamed = last.output in self.streamed
        over = next((n for n in last.inputs[::-1] if not streamed and not made[-1].in_place and last.inputs.index(n) in made[-1].overwrites
                     and self._dies(n, segment.last - 1) and n not in found.rings and may_write_over(nodes, found, n)), None)
        if not streamed:
            self.values[last.output] = self.values[over] if over is not None else Buffer(last.operator.output.bytes, len(self.tasks), 0)
        if not streamed and over is None and self.config.chases_rows:
            for name in {name for node in nodes for name in node.inputs if name not in found.rings and self._dies(name, segment.last - 1)}:
                pair = self.values[last.output], self.values[name]
                self.distances[pair], self.ends[pair] = end_distance(nodes, found, name), (segment, name)
        weights: dict[int, Buffer] = {}
        for step in found.steps:
            piece, node = made[step.node], nodes[step.node]
            if piece.data:
                weights.setdefault(step.node, Buffer(len(piece.data), len(self.tasks), 0))
            parts = self._fetched(node, step.rows)
            for part in stored(node, step.rows, self.streamed):
                parts[part.position] = Buffer(part.bytes, len(self.tasks), 0), part.start
            self._tasks(segment.first + step.node, piece, weights.get(step.node), step.rows, parts)
            if len(node.inputs) in parts:
                self._store(node, step.rows, parts[len(node.inputs)][0])

    def other_distance(self, pair: tuple[Buffer, Buffer]) -> Distance:
        """Of a cascade's output to its input, if its stripes went the other way."""
        segment, name = self.ends[pair]
        nodes = self.nodes[segment.first:segment.last]
        assert segment.height is not None
        return end_distance(nodes, cascade(nodes, segment.height, not segment.upward), name)

    def _fetched(self, node: Node, rows: Rows | None) -> Parts:
        """Buffers, for output `rows`, of the inputs that are streamed."""
        return {part.position: (Buffer(part.bytes, len(self.tasks), 0), part.start) for part in fetched(node, rows, self.streamed)}

    def _store(self, node: Node, rows: Rows | None, buffer: Buffer) -> None:
        """What the last tasks have made goes to the host, if it is streamed."""
        for part in stored(node, rows, self.streamed):
            if self.beside and self.saves:
                self.saves[-1].by = len(self.tasks)
                self.saves[-1].buffer.last = len(self.tasks) - 1
            self.saves.append(Save(buffer, self.streamed[node.output], part.start, len(self.tasks), len(self.tasks)))

    def _tasks(self, number: int, piece: Piece, weights: Buffer | None, rows: Rows | None, parts: Parts) -> None:
        """parts: the images, by position, of which there is a part."""
        node = self.nodes[number]
        pairs = [parts[position] if position in parts else (self.values[name], 0) for position, name in enumerate((*node.inputs, node.output))]
        images, starts = tuple(buffer for buffer, _ in pairs), tuple(start for _, start in pairs)
        loads = [Load(buffer, None, self.streamed[node.inputs[position]], start) for position, (buffer, start) in parts.items() if position < len(node.inputs)]
        if weights is not None:
            loads.append(Load(weights, piece.data))
        loads = [load for load in loads if load.buffer not in self._loaded]
        self._loaded.update(load.buffer for load in loads)
        for columns in piece.columns:
            for buffer in (*images, *([weights] if weights else [])):
                buffer.last = max(buffer.last, len(self.tasks))
            self.tasks.append(Task(number, node.operator.output, piece, images, starts, weights, tuple(loads), rows, columns))
            loads = []

    def _dies(self, name: str, number: int) -> bool:
        """Whether nothing reads the value's memory, by any name, after node `number`."""
        return name in self.values and all(self.lives.dies(other, number) for other, buffer in self.values.items() if buffer is self.values[name])

    @property
    def buffers(self) -> list[Buffer]:
        """All of them, once."""
        return list({id(b): b for task in self.tasks for b in (*task.images, *([task.weights] if task.weights else []))}.values())


def live_bytes(buffers: Sequence[Buffer], steps: int, first: Mapping[Buffer, int], overlaps: Mapping[tuple[Buffer, Buffer], int]) -> list[int]:
    """What is live at each step. first: from which step on each buffer is. overlaps: bytes that two have in common."""
    changes = [0] * (steps + 2)
    for buffer in buffers:
        changes[first[buffer]] += buffer.room
        changes[buffer.last + 1] -= buffer.room
    for (a, b), size in overlaps.items():
        changes[max(first[a], first[b])] -= size
        changes[min(a.last, b.last) + 1] += size
    return list(itertools.accumulate(changes[:steps + 1]))
