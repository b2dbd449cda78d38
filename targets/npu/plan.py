"""The segments of a network that plans are made of (search.py): its layers by themselves and its cascades."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import numpy as np

from nnc_tvm.errors import Unsupported
from nnc_tvm.schedules.operators import Operator, Reshape
from nnc_tvm.schedules.operators.operator import WeightedSum
from nnc_tvm.targets.npu.clock import job_cost, transfer_cycles
from nnc_tvm.targets.npu.codec import smallest
from nnc_tvm.targets.npu.commands import Job
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.jobs import pieces
from nnc_tvm.targets.npu.lifetimes import Lifetimes
from nnc_tvm.targets.npu.nodes import Fused, Node
from nnc_tvm.targets.npu.overlap import nearer, output_distance, within
from nnc_tvm.targets.npu.pace import Pace, Work, pace
from nnc_tvm.targets.npu.passes import ceil
from nnc_tvm.targets.npu.piece import ANYWHERE, Piece
from nnc_tvm.targets.npu.segments import Option, Segment
from nnc_tvm.targets.npu.streaming import choices, cycles, fetched, room
from nnc_tvm.targets.npu.stripes import Cascade, cascade, divisible, end_distance
from nnc_tvm.targets.npu.transfers import Dma
from nnc_tvm.targets.npu.views import ALIGNMENT, Rows, aligned, extents, row_bytes, seen_rows
from nnc_tvm.targets.npu.weighted import PIECE_BYTES
from nnc_tvm.targets.npu.windows import windows

MOST_LAYERS = 12  # of a cascade
SIZES = tuple(int(PIECE_BYTES * 2 ** (-n / 2)) for n in range(15))  # of pieces of weights
MANY_PIECES = 12  # of a size that is a small part of the SRAM: smaller ones are worth nothing
NOTHING = pace([], None)
STRIPES = (2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 48, 64)  # how many a cascade has


def whole_pieces(operator: Operator, config: Config) -> list[Piece]:
    """In one piece, as a cascade has it."""
    return pieces(operator, config, 1 << 30)


@lru_cache(1 << 10)
def _least_bytes(operator: Operator) -> int:
    """What its weights take at least: those that are not zero, in 4 bits."""
    weighted = operator.first if isinstance(operator, Fused) else operator
    return int(np.count_nonzero(weighted.weight)) // 2 if isinstance(weighted, WeightedSum) else 0


@dataclass(eq=False)
class Planner:
    """The segments of `nodes`; what it has found out about them is kept. streamed: names of what stays in the host's memory, and in which block."""

    nodes: Sequence[Node]
    inputs: Sequence[str]
    outputs: Sequence[str]
    config: Config
    streamed: Mapping[str, int] = field(default_factory=dict)
    found: dict[int, list[Option]] = field(default_factory=dict)
    loads: dict[str, float] = field(default_factory=dict)
    cascades: dict[tuple[int, int, int], Cascade] = field(default_factory=dict)
    paces: dict[tuple[int, int, int, frozenset[str]], tuple[Pace, Pace] | None] = field(default_factory=dict)
    steps: dict[tuple[int, ...], tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lives = Lifetimes(self.nodes, self.outputs, self.streamed)

    @cached_property
    def disjoint(self) -> Planner:
        """Of the same nodes, for plans whose outputs lie beside their inputs, or exactly over them. Of cascades it knows what this one does."""
        return replace(self, config=replace(self.config, chases_rows=False), found={})

    @cached_property
    def streaming(self) -> list[Planner]:
        """Of the same nodes, for plans that leave inputs or outputs in the host's memory."""
        return [replace(self, streamed=streamed, found={}) for streamed in choices(self.nodes, self.inputs, self.outputs)]

    def options(self, first: int) -> list[Option]:
        """The segments that begin with node `first`, none that another beats."""
        if first not in self.found:
            self.found[first] = [*self._layers(first), *self._cascades(first)]
        return self.found[first]

    def _layers(self, number: int) -> list[Option]:
        """The node by itself, its weights in pieces of several sizes."""
        if isinstance(self.nodes[number].operator, Reshape):
            node = self.nodes[number]
            need = self.lives.through(number, number + 1) + (0 if node.output in self.streamed else aligned(node.operator.output.bytes))
            return [Option(Segment(number, number + 1), need, 0, 0, 1, NOTHING, NOTHING)]
        found: list[Option] = []
        made: list[Piece] = []
        for size in SIZES:
            previous, made = len(made), pieces(self.nodes[number].operator, self.config, size)
            if len(made) != previous:
                found.append(self._layer(Segment(number, number + 1, most=size), made))
            if not made[0].data or (len(made) >= MANY_PIECES and MANY_PIECES * len(made[0].data) <= self.config.sram_bytes):
                break
        found += [self._layer(Segment(number, number + 1, reach=piece.reach), [piece]) for piece in self._nearer(number)]
        return [a for a in found if not any(b.better(a) for b in found)]

    def _nearer(self, number: int) -> Iterator[Piece]:
        """The node in one piece, written ever nearer to its first input where that dies."""
        operator = self.nodes[number].operator
        if not self._chases(number) or _least_bytes(operator) > self.config.sram_bytes:
            return
        piece, over = whole_pieces(operator, self.config)[0], self._over(number, pieces(operator, self.config, PIECE_BYTES))
        if over and not piece.in_place:
            return
        apart = piece if not over else within(piece, operator.inputs[0].bytes + operator.output.bytes)
        yield from nearer(apart)
        if over:
            yield apart

    def _over(self, number: int, made: Sequence[Piece]) -> bool:
        """Whether the node's output lies exactly on an input."""
        return any(position in made[0].overwrites and self.lives.dies(name, number) for position, name in enumerate(self.nodes[number].inputs))

    def _chases(self, number: int) -> bool:
        """Whether the node's output may be written over its first input."""
        node = self.nodes[number]
        return self.config.chases_rows and node.inputs.count(node.inputs[0]) == 1 and self.lives.dies(node.inputs[0], number)

    def _layer(self, segment: Segment, made: Sequence[Piece]) -> Option:
        number, node = segment.first, self.nodes[segment.first]
        source, output = node.operator.inputs[0].bytes, node.operator.output.bytes
        over = self._over(number, made)
        distance = output_distance(made) if self._chases(number) and not over else None
        together = aligned(source) + (0 if over else aligned(output)) if distance is None else aligned(distance.extent(output, source))
        others = self.lives.through(number, number + 1) + sum(self.lives.sizes[name] for name in {*node.inputs} - {node.inputs[0]} - self.streamed.keys())
        others += sum(aligned(part.bytes) for part in fetched(node, None, self.streamed) if part.position)
        weights = max(aligned(len(piece.data)) for piece in made)
        moving = cycles(node, None, self.streamed, self.config)
        works = [Work(self._flash(node, piece) + (moving if piece is made[0] else 0), *self._jobs(piece.jobs(ANYWHERE, 0))) for piece in made]
        return Option(segment, others + together + weights, weights if len(made) > 1 else 0, weights, len(made), pace(works, 1), pace(works, 2))

    def _cascades(self, first: int) -> list[Option]:
        """Those that begin with node `first`."""
        found: list[Option] = []
        for last in range(first + 1, min(len(self.nodes), first + MOST_LAYERS) + 1):
            if not divisible(self.nodes[last - 1].operator):
                break
            alone = last - first < 2 and self.streamed.keys().isdisjoint((*self.nodes[first].inputs, self.nodes[first].output))
            if alone or any(self.lives.last_read[node.output] >= last for node in self.nodes[first:last - 1]):
                continue
            height = extents(self.nodes[last - 1].operator.output)[0]
            heights = (rows for rows in sorted({ceil(height, count) for count in STRIPES if count <= height} | {1}) if rows < height)
            options: list[Option] = []
            for rows in heights:
                option = self._cascade(first, last, rows)
                if option is None:  # higher stripes need more
                    break
                options.append(option)
            found += [a for a in options if not any(b.better(a) for b in options)]
        return found

    def _cascade(self, first: int, last: int, height: int) -> Option | None:
        nodes = self.nodes[first:last]
        if (first, last, height) not in self.cascades:
            self.cascades[first, last, height] = cascade(nodes, height)
        striped = self.cascades[first, last, height]
        outside = {name for node in nodes for name in node.inputs if self.lives.made.get(name, -1) < first}
        rings = sum(aligned(striped.rings[node.output] * row_bytes(node.operator.output)) for node in nodes[:-1])
        moved = max(room(nodes[step.node], step.rows, self.streamed) for step in striped.steps)
        need = self.lives.through(first, last) + sum(self.lives.sizes[name] for name in outside - self.streamed.keys()) + rings + moved
        if need + sum(_least_bytes(node.operator) for node in nodes) > self.config.sram_bytes:
            return None
        made = [whole_pieces(node.operator, self.config)[0] for node in nodes]
        over = nodes[-1].output not in self.streamed and any(
            name in outside and self.lives.dies(name, last - 1) and position in made[-1].overwrites for position, name in enumerate(nodes[-1].inputs))
        need += sum(aligned(len(piece.data)) for piece in made)
        if not over and nodes[-1].output not in self.streamed:
            need += aligned(nodes[-1].operator.output.bytes) - self._shared(nodes, striped, [name for name in outside if self.lives.dies(name, last - 1)])
        if need > self.config.sram_bytes:
            return None
        key = (first, last, height, frozenset(self.streamed.keys() & {name for node in nodes for name in (*node.inputs, node.output)}))
        if key not in self.paces:
            self.paces[key] = self._striped(nodes, striped, made, moved > 0)
        paces = self.paces[key]
        return None if paces is None else Option(Segment(first, last, height), need, moved, 0, 1, *paces)

    def _striped(self, nodes: Sequence[Node], striped: Cascade, made: Sequence[Piece], moves: bool) -> tuple[Pace, Pace] | None:
        """Of a cascade whose rows come or go one after the other where it `moves` some, and beside each other; None where the private buffers do not hold a
        stripe's tile."""
        loads = [self._flash(node, piece) for node, piece in zip(nodes, made, strict=True)]
        works = []
        try:
            for step in striped.steps:
                node = nodes[step.node]
                load = loads[step.node] + cycles(node, step.rows, self.streamed, self.config)
                works.append(Work(load, *self._step(node, made[step.node], step.rows)))
                loads[step.node] = 0
        except Unsupported:
            return None
        beside = pace(works, None)
        return pace(works, 1) if moves else beside, beside

    def _shared(self, nodes: Sequence[Node], striped: Cascade, dying: Sequence[str]) -> int:
        """The most bytes that the cascade's output can have in common with a value that dies with it."""
        output = nodes[-1].operator.output.bytes
        common = (output + self.lives.sizes[name] - end_distance(nodes, striped, name).extent(output, self.lives.sizes[name])
                  for name in (dying if self.config.chases_rows else ()))
        return max(common, default=0) // ALIGNMENT * ALIGNMENT

    def _step(self, node: Node, piece: Piece, rows: Rows) -> tuple[int, int]:
        """Of a stripe's jobs; stripes that see as much of each input cost the same."""
        seen = (seen_rows(window, extents(kind)[0], rows) for window, kind in zip(windows(node.operator), node.operator.inputs, strict=True))
        above = windows(node.operator)[0].padding[0] - rows[0] * windows(node.operator)[0].strides[0]
        key = (self.lives.made[node.output], rows[1] - rows[0], max(0, above), *(last - first for first, last in seen))
        if key not in self.steps:
            self.steps[key] = self._jobs(piece.jobs(ANYWHERE, 0, rows))
        return self.steps[key]

    def _jobs(self, jobs: Sequence[Job]) -> tuple[int, int]:
        """What the DMA needs for the commands, and the array for the jobs."""
        return sum(4 * len(job.words()) for job in jobs), sum(job_cost(job, self.config).cycles for job in jobs)

    def _flash(self, node: Node, piece: Piece) -> int:
        """Cycles of loading the piece's weights, as if they were coded like the node's first piece of the largest size."""
        if node.output not in self.loads:
            data = pieces(node.operator, self.config, SIZES[0])[0].data
            small, coded = smallest(data)
            self.loads[node.output] = transfer_cycles(Dma(0, 0, 0, len(small), len(data), coded), self.config) / max(1, len(data))
        return int(self.loads[node.output] * len(piece.data))
