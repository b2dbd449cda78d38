"""Layers as the code generator sees them, sums joined to their convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nnc_tvm.errors import Unsupported
from nnc_tvm.schedules.operators import LinearCombination, Operator
from nnc_tvm.schedules.operators.operator import WeightedSum


@dataclass(frozen=True, eq=False)
class Node:
    """An operator on named values: what codegen needs of a layer."""

    name: str
    operator: Operator
    inputs: tuple[str, ...]
    output: str


class DoesNotFit(Unsupported):
    """A layer needs more SRAM than there is: `needed` bytes with what must be there beside it."""

    def __init__(self, node: Node, needed: int, available: int) -> None:
        super().__init__(f"layer '{node.name}' needs {needed} bytes of SRAM at once with what lies between, the NPU has {available}; give it more "
                         f"(--npu sram={needed})")
        self.node, self.needed = node, needed


@dataclass(frozen=True, eq=False)
class Fused(Operator):
    """y = sum(first(x), r); swap: r is the sum's first input. inputs: (x, r)."""

    first: WeightedSum
    sum: LinearCombination
    swap: bool

    @property
    def macs(self) -> int:
        """Of the weighted sum: the other adds no products of weights."""
        return self.first.macs


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
