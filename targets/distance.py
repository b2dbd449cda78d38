"""How far two buffers must keep from each other that hold data at the same time and need not be disjoint."""

from __future__ import annotations

from typing import NamedTuple


class Distance(NamedTuple):
    """The one begins at least `below` bytes below where the other does, or at least `above` bytes above.

    Disjoint buffers are as far apart as the one's size, or the other's; less lets them overlap in part. Negative: at most so many bytes on the other side.
    """

    below: int
    above: int

    @property
    def reverse(self) -> Distance:
        """Of the other to the one."""
        return Distance(self.above, self.below)

    def extent(self, own: int, other: int) -> int:
        """The fewest bytes that both take together, of `own` and `other` bytes."""
        below, above = max(0, self.below), max(0, self.above)
        return min(max(below + other, own), max(above + own, other))
