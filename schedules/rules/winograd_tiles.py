"""The tiles of an image: of one kind, the last beyond its edge, or of up to four kinds that fit it.

An image of 14 rows is covered by tiles of 4, 4, 4 and 2; those of two outputs have fewer points. A product is a matrix product over the tiles
that have its point.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from nnc_tvm.schedules.rules.winograd_forms import Axis, WinogradForm


@dataclass(frozen=True, eq=False)
class Tiles:
    """`rows` x `columns` tiles of every one of `images`, whose sides are `down` and `across`; the first has its first output at `top`, `left`."""

    down: Axis
    across: Axis
    images: int
    rows: int
    columns: int
    top: int = 0
    left: int = 0

    @property
    def count(self) -> int:
        return self.images * self.rows * self.columns

    @property
    def points(self) -> int:
        """Of a tile."""
        return self.down.points * self.across.points

    @property
    def end(self) -> tuple[int, int]:
        """(row, column) behind the last output."""
        return self.top + self.rows * self.down.m, self.left + self.columns * self.across.m

    def has(self, r: int, s: int) -> bool:
        """Whether they have the point."""
        return r < self.down.points and s < self.across.points

    def place(self, number: Any) -> tuple[Any, Any, Any]:
        """(image, row, column) of the first output of a tile by its number."""
        row, column = number // self.columns % self.rows, number % self.columns
        return number // (self.rows * self.columns), self.top + row * self.down.m, self.left + column * self.across.m


@dataclass(frozen=True, eq=False)
class Zone:
    """Points that the same number of tiles have: their first number, how many they are, and the tiles."""

    first: int
    points: int
    tiles: int


def whole_tiles(out: tuple[int, int, int, int], form: WinogradForm) -> tuple[Tiles, ...]:
    """Tiles of one kind for outputs of the shape `out`."""
    n, oh, ow, _ = out
    return (Tiles(form.whole, form.whole, n, math.ceil(oh / form.m), math.ceil(ow / form.m)),)


def fitting_tiles(out: tuple[int, int, int, int], form: WinogradForm) -> tuple[Tiles, ...]:
    """Tiles that end where the image does."""
    n, oh, ow, _ = out

    def sides(extent: int) -> list[tuple[Axis, int, int]]:
        """(side, count, first output) of the whole ones and of the last."""
        whole, rest = divmod(extent, form.m)
        return [*([(form.whole, whole, 0)] if whole else []), *([(form.axes[rest], 1, whole * form.m)] if rest else [])]

    return tuple(Tiles(down, across, n, rows, columns, top, left) for (down, rows, top), (across, columns, left) in product(sides(oh), sides(ow)))


def zones_of(kinds: Sequence[Tiles], points: int) -> tuple[dict[tuple[int, int], int], list[Zone]]:
    """({point (r, s): its number}, zones) of tiles with `points` along a side at most; the points of most tiles come first, of none last."""
    tiles = {(r, s): sum(kind.count for kind in kinds if kind.has(r, s)) for r, s in product(range(points), range(points))}
    order = sorted(tiles, key=lambda point: -tiles[point])
    counts = list(tiles.values())
    zones = [Zone(sum(other > count for other in counts), counts.count(count), count) for count in sorted(set(counts) - {0}, reverse=True)]
    return {point: number for number, point in enumerate(order)}, zones
