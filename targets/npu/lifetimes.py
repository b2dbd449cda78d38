"""How long the values of a network live, node by node."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from nnc_tvm.targets.npu.nodes import Node
from nnc_tvm.targets.npu.views import aligned


class Lifetimes:
    """made: the node that computes each value, none for the network's inputs. last_read: the last that reads it, the number of nodes for the network's
    outputs. sizes: bytes that the values which are read take. streamed: values of the host's memory, of which SRAM has a part at a time."""

    def __init__(self, nodes: Sequence[Node], outputs: Sequence[str], streamed: Collection[str]) -> None:
        self._nodes, self.streamed = nodes, streamed
        self.made = {node.output: number for number, node in enumerate(nodes)}
        self.last_read = {name: number for number, node in enumerate(nodes) for name in node.inputs}
        self.last_read.update(dict.fromkeys(outputs, len(nodes)))
        self.sizes = {name: aligned(kind.bytes) for node in nodes for name, kind in zip(node.inputs, node.operator.inputs, strict=True)}

    def dies(self, name: str, number: int) -> bool:
        """Whether nothing reads the value by this name after node `number`, and its memory is there for others."""
        return name not in self.streamed and self.last_read.get(name, -1) <= number

    def through(self, first: int, last: int) -> int:
        """Bytes of values that are there before node `first`, that nodes first ... last - 1 do not read and later ones do."""
        beside = {name for node in self._nodes[first:last] for name in node.inputs}.union(self.streamed)
        return sum(size for name, size in self.sizes.items()
                   if self.made.get(name, -1) < first and self.last_read[name] >= last and name not in beside)
