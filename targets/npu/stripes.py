"""Cascades: layers that run together, stripe by stripe of their last output. Of what is between them only the rows are kept that are still read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nnc_tvm.schedules.operators import AveragePool2d, Conv2d, DepthwiseConv2d, FixedSoftmax, LinearCombination, MaxPool2d, Operator, Table
from nnc_tvm.targets.distance import Distance
from nnc_tvm.targets.npu.nodes import Fused, Node
from nnc_tvm.targets.npu.views import Rows, extents, row_bytes, seen_rows
from nnc_tvm.targets.npu.windows import windows

STRIPED = (Conv2d, DepthwiseConv2d, MaxPool2d, AveragePool2d, LinearCombination, Table, FixedSoftmax, Fused)


@dataclass(frozen=True)
class Step:
    """Output `rows` of node number `node` of the cascade."""

    node: int
    rows: Rows


@dataclass(frozen=True)
class Cascade:
    """steps: in order. rings: rows kept of each value between the nodes. upward: the stripes begin with the last one."""

    steps: tuple[Step, ...]
    rings: dict[str, int]
    upward: bool


def divisible(operator: Operator) -> bool:
    """Whether stripes of the output can be computed by themselves: images whose windows all begin above the image's end."""
    if not isinstance(operator, STRIPED) or len(operator.output.shape) != 4:
        return False
    height = extents(operator.output)[0]
    return all((height - 1) * window.strides[0] - window.padding[0] < extents(kind)[0]
               for window, kind in zip(windows(operator), operator.inputs, strict=True))


def cascade(nodes: Sequence[Node], height: int, upward: bool = False) -> Cascade:
    """`nodes`, all divisible, in stripes of `height` rows of the last one's output. Every node but the last is read only by later ones."""
    heights = [extents(node.operator.output)[0] for node in nodes]
    steps: list[Step] = []  # rows here are counted from where the stripes begin
    done = [0] * len(nodes)
    for end in range(height, heights[-1] + height, height):
        for number, target in enumerate(_targets(nodes, heights, end, upward)):
            if target > done[number]:
                steps.append(Step(number, (done[number], target)))
                done[number] = target
    rings = _rings(nodes, heights, steps, upward)
    return Cascade(tuple(Step(step.node, _counted(step.rows, heights[step.node], upward)) for step in steps), rings, upward)


def _counted(rows: Rows, height: int, upward: bool) -> Rows:
    """Rows counted from the top as counted from the bottom where `upward`, and the other way round."""
    return (height - rows[1], height - rows[0]) if upward else rows


def _targets(nodes: Sequence[Node], heights: Sequence[int], end: int, upward: bool) -> list[int]:
    """The rows of every node's output that must be there for the first `end` of the last one's; all of them with its last."""
    if end >= heights[-1]:
        return list(heights)
    makers = {node.output: number for number, node in enumerate(nodes)}
    targets = [0] * len(nodes)
    targets[-1] = end
    for number in range(len(nodes) - 1, -1, -1):
        for name, (_, last) in _reads(nodes[number], (0, targets[number]), upward) if targets[number] else ():
            if name in makers:
                targets[makers[name]] = max(targets[makers[name]], last)
    return targets


def _reads(node: Node, rows: Rows, upward: bool) -> Iterator[tuple[str, Rows]]:
    """The rows of each input that output `rows` need, both counted from where the stripes begin."""
    rows = _counted(rows, extents(node.operator.output)[0], upward)
    for name, window, kind in zip(node.inputs, windows(node.operator), node.operator.inputs, strict=True):
        yield name, _counted(seen_rows(window, extents(kind)[0], rows), extents(kind)[0], upward)


def _rings(nodes: Sequence[Node], heights: Sequence[int], steps: Sequence[Step], upward: bool) -> dict[str, int]:
    """The most rows of each value between the nodes that hold data at once: from the first that is still read to the last that is
    written, and no fewer than are written together."""
    rings: dict[str, int] = {node.output: 0 for node in nodes[:-1]}
    readers = {name: [number for number, node in enumerate(nodes) if name in node.inputs] for name in rings}
    done = [0] * len(nodes)
    for step in steps:
        name = nodes[step.node].output
        if name in rings:
            needed = [first for number in readers[name] if done[number] < heights[number]
                      for read, (first, _) in _reads(nodes[number], (done[number], done[number] + 1), upward) if read == name]
            rings[name] = max(rings[name], step.rows[1] - min([step.rows[0], *needed]))
        done[step.node] = step.rows[1]
    return rings


def may_write_over(nodes: Sequence[Node], found: Cascade, value: str) -> bool:
    """Whether the last node, which reads `value` row by row, may write its output exactly over it: no other node reads rows that it has written."""
    written = 0
    for number, rows in _own_steps(nodes, found):
        if number == len(nodes) - 1:
            written = rows[1]
        elif any(name == value and first < written for name, (first, _) in _reads(nodes[number], rows, found.upward)):
            return False
    return True


def _own_steps(nodes: Sequence[Node], found: Cascade) -> list[tuple[int, Rows]]:
    """Nodes and their rows counted from where the stripes begin."""
    return [(step.node, _counted(step.rows, extents(nodes[step.node].operator.output)[0], found.upward)) for step in found.steps]


def end_distance(nodes: Sequence[Node], found: Cascade, value: str) -> Distance:
    """Of the last node's output to a value from outside that dies with the cascade: on the side where the stripes begin, so that none ends behind rows that
    are read with it or later."""
    kind = next(kind for node in nodes for name, kind in zip(node.inputs, node.operator.inputs, strict=True) if name == value)
    output = nodes[-1].operator.output
    ahead, unread = -kind.bytes, extents(kind)[0]  # the first row that later steps read
    for number, rows in reversed(_own_steps(nodes, found)):
        unread = min([unread, *(first for name, (first, _) in _reads(nodes[number], rows, found.upward) if name == value)])
        if number == len(nodes) - 1 and unread < extents(kind)[0]:
            ahead = max(ahead, rows[1] * row_bytes(output) - unread * row_bytes(kind))
    ahead = min(ahead, output.bytes)
    return Distance(output.bytes, kind.bytes - output.bytes + ahead) if found.upward else Distance(ahead, kind.bytes)
