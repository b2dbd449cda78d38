"""Convolutions and dense layers computed one after the other by one kernel: what lies between them is never whole in memory."""

from __future__ import annotations

from dataclasses import dataclass

from nnc_tvm.schedules.operators.operator import Operator, WeightedSum


@dataclass(frozen=True, eq=False)
class Chain(Operator):
    """y = links[-1](... links[1](links[0](x)))

    inputs: (x,), the first link's, and what the last one adds where it has a residual; output: the last link's.
    Every link reads what the one before it computes.
    """

    links: tuple[WeightedSum, ...]

    @staticmethod
    def of(*links: WeightedSum) -> Chain:
        """The chain of `links`. Raises ValueError where one does not read what the one before it computes."""
        for first, second in zip(links, links[1:], strict=False):
            if len(first.inputs) > 1 or second.inputs[0] != first.output:
                raise ValueError(f"{second.inputs} is not {first.output}")
        return Chain((links[0].inputs[0], *links[-1].inputs[1:]), links[-1].output, links)

    @property
    def macs(self) -> int:
        return sum(link.macs for link in self.links)

    @property
    def weight_bytes(self) -> int:
        return sum(link.weight_bytes for link in self.links)
