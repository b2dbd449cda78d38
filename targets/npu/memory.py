"""The buffers of a plan: what lives in SRAM from which job to which, and where."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nnc_tvm.schedules.operators import Reshape, TensorType
from nnc_tvm.targets.distance import Distance
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.jobs import pieces
from nnc_tvm.targets.npu.lifetimes import Lifetimes
from nnc_tvm.targets.npu.nodes import Node
from nnc_tvm.targets.npu.overlap import output_distance, within
from nnc_tvm.targets.npu.piece import Piece
from nnc_tvm.targets.npu.plan import whole_pieces
from nnc_tvm.targets.npu.segments import Segment
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


@dataclass(frozen=True, eq=False)
class Task:
    """A job to be, of `columns` of output `rows` (None: all) of node number `node`: the piece's data lies in `weights`, its images in `images` (inputs,
    then the output, of type `kind`). loads: whether the weights come for this job; else they are there."""

    node: int
    kind: TensorType
    piece: Piece
    images: tuple[Buffer, ...]
    weights: Buffer | None
    loads: bool
    rows: Rows | None
    columns: Columns


class Layout:
    """values: the memory of every value. tasks: in order. distances: of outputs to inputs that they may be written over, before those are dead.
    ends: the cascades among them, and what the input is called."""

    def __init__(self, nodes: Sequence[Node], plan: Sequence[Segment], inputs: Sequence[str], outputs: Sequence[str], config: Config) -> None:
        self.nodes, self.outputs, self.config = nodes, outputs, config
        self.lives = Lifetimes(nodes, outputs)
        self.values: dict[str, Buffer] = {}
        self.tasks: list[Task] = []
        self.distances: dict[tuple[Buffer, Buffer], Distance] = {}
        self.ends: dict[tuple[Buffer, Buffer], tuple[Segment, str]] = {}
        for segment in plan:
            for node in nodes[segment.first:segment.last]:
                for name, kind in zip(node.inputs, node.operator.inputs, strict=True):
                    if name in inputs:
                        self.values.setdefault(name, Buffer(kind.bytes, 0, 0))
            if segment.height is not None:
                self._cascade(segment, cascade(nodes[segment.first:segment.last], segment.height, segment.upward))
            elif isinstance(nodes[segment.first].operator, Reshape):
                self.values[nodes[segment.first].output] = self.values[nodes[segment.first].inputs[0]]
            else:
                self._layer(segment.first, segment.most, segment.reach)
        for name in outputs:
            self.values[name].last = len(self.tasks)

    def _layer(self, number: int, most: int, reach: int | None) -> None:
        node = self.nodes[number]
        made = pieces(node.operator, self.config, most) if reach is None else [within(whole_pieces(node.operator, self.config)[0], reach)]
        over = next((n for n in node.inputs[::-1] if node.inputs.index(n) in made[0].overwrites and self._dies(n, number)), None)
        self.values[node.output] = self.values[over] if over is not None else Buffer(node.operator.output.bytes, len(self.tasks), 0)
        distance, first = output_distance(made), node.inputs[0]
        if self.config.chases_rows and distance is not None and over is None and self._dies(first, number) and node.inputs.count(first) == 1:
            self.distances[self.values[node.output], self.values[first]] = distance
        for piece in made:
            self._tasks(number, piece, Buffer(len(piece.data), len(self.tasks), len(self.tasks)) if piece.data else None, True, None)

    def _cascade(self, segment: Segment, found: Cascade) -> None:
        nodes = self.nodes[segment.first:segment.last]
        for node in nodes[:-1]:
            rows, kind = found.rings[node.output], node.operator.output
            self.values[node.output] = Buffer(rows * row_bytes(kind), len(self.tasks), 0, rows if rows < extents(kind)[0] else 0)
        made, last = [whole_pieces(node.operator, self.config)[0] for node in nodes], nodes[-1]
        over = next((n for n in last.inputs[::-1] if not made[-1].in_place and last.inputs.index(n) in made[-1].overwrites
                     and self._dies(n, segment.last - 1) and n not in found.rings and may_write_over(nodes, found, n)), None)
        self.values[last.output] = self.values[over] if over is not None else Buffer(last.operator.output.bytes, len(self.tasks), 0)
        if over is None and self.config.chases_rows:
            for name in {name for node in nodes for name in node.inputs if name not in found.rings and self._dies(name, segment.last - 1)}:
                pair = self.values[last.output], self.values[name]
                self.distances[pair], self.ends[pair] = end_distance(nodes, found, name), (segment, name)
        weights: dict[int, Buffer] = {}
        for step in found.steps:
            piece, loads = made[step.node], step.node not in weights
            if loads and piece.data:
                weights[step.node] = Buffer(len(piece.data), len(self.tasks), 0)
            self._tasks(segment.first + step.node, piece, weights.get(step.node), loads, step.rows)

    def other_distance(self, pair: tuple[Buffer, Buffer]) -> Distance:
        """Of a cascade's output to its input, if its stripes went the other way."""
        segment, name = self.ends[pair]
        nodes = self.nodes[segment.first:segment.last]
        assert segment.height is not None
        return end_distance(nodes, cascade(nodes, segment.height, not segment.upward), name)

    def _tasks(self, number: int, piece: Piece, weights: Buffer | None, loads: bool, rows: Rows | None) -> None:
        node = self.nodes[number]
        images = (*(self.values[n] for n in node.inputs), self.values[node.output])
        for columns in piece.columns:
            for buffer in (*images, *([weights] if weights else [])):
                buffer.last = max(buffer.last, len(self.tasks))
            self.tasks.append(Task(number, node.operator.output, piece, images, weights, loads and weights is not None, rows, columns))
            loads = False

    def _dies(self, name: str, number: int) -> bool:
        """Whether nothing reads the value's memory, by any name, after node `number`."""
        return all(self.lives.dies(other, number) for other, buffer in self.values.items() if buffer is self.values[name])

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
