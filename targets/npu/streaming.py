"""Which of a network's inputs and outputs may stay in the host's memory, the stream bringing in and taking out what its jobs need: docs/npu.md, "Images of
the host"."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from nnc_tvm.schedules.operators import Reshape
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.nodes import Node
from nnc_tvm.targets.npu.passes import ceil
from nnc_tvm.targets.npu.transfers import LENT
from nnc_tvm.targets.npu.views import Rows, aligned, extents, row_bytes, seen_rows
from nnc_tvm.targets.npu.windows import windows

LEAST_BYTES = 2048  # of what is worth it


def choices(nodes: Sequence[Node], inputs: Sequence[str], outputs: Sequence[str]) -> list[dict[str, int]]:
    """What may be streamed: the largest input, the two largest, ..., the largest output that no layer reads, and each of the former with that. By name,
    also those that reshapes give, which of the host's blocks it is: they are lent in the order of the inputs, then the output."""
    roots: dict[str, str] = {}
    for node in nodes:
        if isinstance(node.operator, Reshape):
            roots[node.output] = roots.get(node.inputs[0], node.inputs[0])
    computing = [node for node in nodes if not isinstance(node.operator, Reshape)]
    read = {roots.get(name, name): kind.bytes for node in computing for name, kind in zip(node.inputs, node.operator.inputs, strict=True)}
    made = {node.output: node.operator.output.bytes for node in computing}
    results = [roots.get(name, name) for name in outputs]
    sources = sorted((name for name in inputs if read.get(name, 0) >= LEAST_BYTES and name not in results), key=lambda name: -read[name])
    unread = sorted((name for name in results if made.get(name, 0) >= LEAST_BYTES and name not in read and results.count(name) == 1),
                    key=lambda name: -made[name])[:1]
    some = [sources[:count] for count in range(1, min(len(sources), LENT - len(unread)) + 1)]
    sets = [*some, *([unread] if unread else []), *([*names, *unread] for names in some if unread)]
    return [_numbered([name for name in (*inputs, *unread) if name in names], roots) for names in sets]


def _numbered(names: Sequence[str], roots: Mapping[str, str]) -> dict[str, int]:
    return {other: number for number, name in enumerate(names) for other in (name, *(alias for alias, root in roots.items() if root == name))}


@dataclass(frozen=True)
class Part:
    """`bytes` of an image from byte `start` on. position: among the operator's inputs."""

    position: int
    start: int
    bytes: int


def fetched(node: Node, rows: Rows | None, streamed: Collection[str]) -> list[Part]:
    """Of each streamed input what output `rows` (None: all) see."""
    found: list[Part] = []
    for position, (name, kind, window) in enumerate(zip(node.inputs, node.operator.inputs, windows(node.operator), strict=True)):
        if name in streamed:
            first, end = (0, extents(kind)[0]) if rows is None else seen_rows(window, extents(kind)[0], rows)
            found.append(Part(position, first * row_bytes(kind), (end - first) * row_bytes(kind)))
    return found


def stored(node: Node, rows: Rows | None, streamed: Collection[str]) -> list[Part]:
    """Output `rows` (None: all), where they are streamed."""
    kind = node.operator.output
    first, end = rows or (0, extents(kind)[0])
    return [Part(len(node.inputs), first * row_bytes(kind), (end - first) * row_bytes(kind))] if node.output in streamed else []


def room(node: Node, rows: Rows | None, streamed: Collection[str]) -> int:
    """Bytes of SRAM that all of these take."""
    return sum(aligned(part.bytes) for part in (*fetched(node, rows, streamed), *stored(node, rows, streamed)))


def cycles(node: Node, rows: Rows | None, streamed: Collection[str], config: Config) -> int:
    """That the DMA takes for them."""
    return sum(ceil(part.bytes, config.host_bytes_per_cycle) for part in (*fetched(node, rows, streamed), *stored(node, rows, streamed)))
