"""Which layers run by themselves and which in cascades: the fewest cycles of jobs among the plans whose buffers fit a limit, by dynamic programming."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from nnc_tvm.errors import Unsupported
from nnc_tvm.schedules.operators import Operator, Reshape
from nnc_tvm.targets.npu.clock import job_cost
from nnc_tvm.targets.npu.codec import rice
from nnc_tvm.targets.npu.commands import Job
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.jobs import pieces, windows
from nnc_tvm.targets.npu.nodes import DoesNotFit, Node
from nnc_tvm.targets.npu.overlap import nearer, output_distance, within
from nnc_tvm.targets.npu.passes import ceil
from nnc_tvm.targets.npu.piece import ANYWHERE, Piece
from nnc_tvm.targets.npu.stripes import Cascade, cascade, divisible, end_distance
from nnc_tvm.targets.npu.views import Rows, extents, row_bytes, seen_rows

MOST_LAYERS = 12  # of a cascade
STRIPES = (2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 48, 64)  # how many a cascade has


@dataclass(frozen=True)
class Segment:
    """Nodes first ... last - 1, in stripes of `height` rows of the last one's output, from the top or `upward`; one node by itself where it is None.

    reach: of one node, the most bytes that its output and its first input, which dies, may take together, in one piece; None: any, and in several."""

    first: int
    last: int
    height: int | None = None
    reach: int | None = None
    upward: bool = False


@dataclass(frozen=True)
class Option:
    """A segment, the SRAM it needs with what lives through it, and its cycles: of its jobs, or of reading its weights and commands where those are more."""

    segment: Segment
    bytes: int
    cycles: int


def whole_pieces(operator: Operator, config: Config) -> list[Piece]:
    """In one piece, as a cascade has it."""
    return pieces(operator, config, 1 << 30)


@dataclass(eq=False)
class Planner:
    """Looks for plans of `nodes` under several limits; what it has found out about segments is kept."""

    nodes: Sequence[Node]
    inputs: Sequence[str]
    outputs: Sequence[str]
    config: Config
    options: dict[tuple[int, int], list[Option]] = field(default_factory=dict)
    cascades: dict[int, list[Option]] = field(default_factory=dict)
    steps: dict[tuple[int, ...], tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.last_read = {name: number for number, node in enumerate(self.nodes) for name in node.inputs}
        self.last_read.update(dict.fromkeys(self.outputs, len(self.nodes)))
        self.least = [sys.maxsize] * len(self.nodes)
        self.made = {node.output: number for number, node in enumerate(self.nodes)}
        self.sizes = {name: kind.bytes for node in self.nodes for name, kind in zip(node.inputs, node.operator.inputs, strict=True)}

    @functools.cached_property
    def disjoint(self) -> Planner:
        """Of the same nodes, for plans whose outputs lie beside their inputs, or exactly over them."""
        return replace(self, config=replace(self.config, chases_rows=False), options={}, cascades={})

    def plan(self, limit: int, most: int) -> list[Segment]:
        """The plan of the fewest cycles that needs `limit` bytes at the most, with pieces of `most` bytes of weights outside cascades.

        Raises DoesNotFit naming the layer that cannot."""
        best: list[tuple[int, Option | None]] = [(0, None), *((-1, None) for _ in self.nodes)]
        reached = 0
        for first in range(len(self.nodes)):
            if best[first][0] < 0:
                continue
            for option in self._options(first, most):
                cycles, last = best[first][0] + option.cycles, option.segment.last
                if option.bytes <= limit and (best[last][0] < 0 or cycles < best[last][0]):
                    best[last] = (cycles, option)
                    reached = max(reached, last)
        if best[-1][0] < 0:
            raise DoesNotFit(self.nodes[reached], min(self.least[reached], *(option.bytes for option in self._options(reached, most))), limit)
        segments: list[Segment] = []
        at = len(self.nodes)
        while at:
            chosen = best[at][1]
            assert chosen is not None
            segments.insert(0, chosen.segment)
            at = chosen.segment.first
        return segments

    def _options(self, first: int, most: int) -> list[Option]:
        if first not in self.cascades:
            self.cascades[first] = self._cascades(first)
        if (first, most) not in self.options:
            self.options[first, most] = [*self._layer(first, most), *self.cascades[first]]
        return self.options[first, most]

    def _layer(self, number: int, most: int) -> list[Option]:
        """A layer by itself: at its fastest, and written ever nearer to its first input where that dies."""
        node, segment = self.nodes[number], Segment(number, number + 1)
        through = self._through(number, number + 1)
        if isinstance(node.operator, Reshape):
            return [Option(segment, through + node.operator.output.bytes, 0)]
        made = pieces(node.operator, self.config, most)
        over = any(position in made[0].overwrites and self._dies(name, number) for position, name in enumerate(node.inputs))
        whole, (source, output) = whole_pieces(node.operator, self.config)[0], (node.operator.inputs[0].bytes, node.operator.output.bytes)
        others = through + sum(self.sizes[name] for name in set(node.inputs)) - source
        if not self._chases(number) or (over and not made[0].in_place):
            return [self._option(segment, others + source + (0 if over else output), made)]
        distance = output_distance(made)
        options = [self._option(segment, others + (source if over else source + output if distance is None else distance.extent(output, source)), made)]
        apart = within(whole, source + output) if over or len(made) > 1 else whole
        for piece in (*nearer(apart), *([apart] if apart is not whole else [])):
            distance = output_distance([piece])
            assert piece.reach is not None and distance is not None
            option = self._option(replace(segment, reach=piece.reach), others + distance.extent(output, source), [piece])
            if len(made) == 1 or option.bytes < options[0].bytes:  # all weights at once, which has its price later, is for room alone
                options.append(option)
        return options

    def _chases(self, number: int) -> bool:
        """Whether the node's output may be written over its first input."""
        node = self.nodes[number]
        return self.config.chases_rows and node.inputs.count(node.inputs[0]) == 1 and self._dies(node.inputs[0], number)

    def _option(self, segment: Segment, images: int, made: Sequence[Piece]) -> Option:
        jobs = [self._cost(job) for piece in made for job in piece.jobs(ANYWHERE, 0)]
        return Option(segment, images + max(len(piece.data) for piece in made), self._cycles(jobs, made))

    def _cascades(self, first: int) -> list[Option]:
        """Those that begin with node `first`; of those that end together none that another beats in bytes and cycles."""
        found: list[Option] = []
        for last in range(first + 1, min(len(self.nodes), first + MOST_LAYERS) + 1):
            if not divisible(self.nodes[last - 1].operator):
                break
            if last - first < 2 or any(self.last_read[node.output] >= last for node in self.nodes[first:last - 1]):
                continue
            height = extents(self.nodes[last - 1].operator.output)[0]
            options = [option for rows in sorted({ceil(height, count) for count in STRIPES if count <= height} | {1})
                       if rows < height and (option := self._cascade(first, last, rows)) is not None]
            found += [a for a in options if not any(b.bytes <= a.bytes and b.cycles < a.cycles for b in options)]
        return found

    def _cascade(self, first: int, last: int, height: int) -> Option | None:
        nodes = self.nodes[first:last]
        striped = cascade(nodes, height)
        outside = {name for node in nodes for name in node.inputs if self.made.get(name, -1) < first}
        images = sum(self.sizes[name] for name in outside) + nodes[-1].operator.output.bytes
        if any(name in outside and self._dies(name, last - 1) and position in whole_pieces(nodes[-1].operator, self.config)[0].overwrites
               for position, name in enumerate(nodes[-1].inputs)):
            images -= nodes[-1].operator.output.bytes
        elif self.config.chases_rows:
            images -= self._shared(nodes, striped, [name for name in outside if self._dies(name, last - 1)])
        rings = sum(striped.rings[node.output] * row_bytes(node.operator.output) for node in nodes[:-1])
        weights = sum(len(whole_pieces(node.operator, self.config)[0].data) for node in nodes)
        need = self._through(first, last) + images + rings + weights
        self.least[first] = min(need, self.least[first])
        if need > self.config.sram_bytes:
            return None
        try:
            return Option(Segment(first, last, height), need, self._steps_cycles(nodes, striped))
        except Unsupported:
            return None

    def _shared(self, nodes: Sequence[Node], striped: Cascade, dying: Sequence[str]) -> int:
        """The most bytes that the cascade's output can have in common with a value that dies with it."""
        output = nodes[-1].operator.output.bytes
        return max((output + self.sizes[name] - end_distance(nodes, striped, name).extent(output, self.sizes[name]) for name in dying), default=0)

    def _steps_cycles(self, nodes: Sequence[Node], striped: Cascade) -> int:
        made = [whole_pieces(node.operator, self.config)[0] for node in nodes]
        return self._cycles([self._step(nodes[step.node], made[step.node], step.rows) for step in striped.steps], made)

    def _step(self, node: Node, piece: Piece, rows: Rows) -> tuple[int, int]:
        """Cycles and bytes of a stripe's jobs; stripes that see as much of each input cost the same."""
        seen = (seen_rows(window, extents(kind)[0], rows) for window, kind in zip(windows(node.operator), node.operator.inputs, strict=True))
        above = windows(node.operator)[0].padding[0] - rows[0] * windows(node.operator)[0].strides[0]
        key = (self.made[node.output], rows[1] - rows[0], max(0, above), *(last - first for first, last in seen))
        if key not in self.steps:
            costs = [self._cost(job) for job in piece.jobs(ANYWHERE, 0, rows)]
            self.steps[key] = sum(cycles for cycles, _ in costs), sum(fetched for _, fetched in costs)
        return self.steps[key]

    def _cost(self, job: Job) -> tuple[int, int]:
        return job_cost(job, self.config).cycles, 4 * len(job.words())

    @staticmethod
    def _cycles(jobs: Sequence[tuple[int, int]], made: Sequence[Piece]) -> int:
        """The array's and the DMA's run beside each other."""
        flash = sum(min(len(rice(piece.data)), len(piece.data)) for piece in made)
        return max(flash + sum(fetched for _, fetched in jobs), sum(cycles for cycles, _ in jobs))

    def _through(self, first: int, last: int) -> int:
        """Bytes of values that are there before node `first`, that nodes first ... last - 1 do not read and later ones do."""
        read = {name for node in self.nodes[first:last] for name in node.inputs}
        return sum(size for name, size in self.sizes.items()
                   if self.made.get(name, -1) < first and self.last_read[name] >= last and name not in read)

    def _dies(self, name: str, number: int) -> bool:
        return name not in self.outputs and self.last_read[name] <= number
