"""Segments of a plan, layers by themselves and cascades: what one is, what SRAM it needs and how fast it is."""

from __future__ import annotations

from dataclasses import dataclass

from nnc_tvm.targets.npu.pace import Pace
from nnc_tvm.targets.npu.weighted import PIECE_BYTES


@dataclass(frozen=True)
class Segment:
    """Nodes first ... last - 1, in stripes of `height` rows of the last one's output, from the top or `upward`; one node by itself where it is None, with
    about `most` bytes of weights in a piece.

    reach: of one node, the most bytes that its output and its first input, which dies, may take together, in one piece; None: any, and in several."""

    first: int
    last: int
    height: int | None = None
    reach: int | None = None
    upward: bool = False
    most: int = PIECE_BYTES


@dataclass(frozen=True)
class Option:
    """A segment, and the SRAM it needs with what lives through it.

    spare: more bytes with which a piece of weights can be loaded beside another, 0 where there are no two. alone, beside: how fast it is without and with.
    """

    segment: Segment
    bytes: int
    spare: int
    weights: int
    pieces: int
    alone: Pace
    beside: Pace

    def pace(self, limit: int) -> Pace:
        """Within `limit` bytes."""
        return self.beside if self.bytes + self.spare <= limit else self.alone

    def better(self, other: Option) -> bool:
        """Whether it needs no more bytes and takes no more cycles, however much room there is and however far ahead the DMA."""
        ours, theirs = ((o.bytes, o.bytes + o.spare, *o.alone, *o.beside) for o in (self, other))
        return ours != theirs and all(a <= b for a, b in zip(ours, theirs, strict=True))
