"""What a Winograd kernel is made for: its form, register tile and blocks, and where the operands lie."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from nnc_tvm.schedules.isa import DotProduct, Tile
from nnc_tvm.schedules.operators.operator import ITEM_BYTES, TensorType
from nnc_tvm.schedules.rules.winograd_forms import WinogradForm
from nnc_tvm.schedules.rules.winograd_tiles import Tiles, Zone, zones_of

CACHE_LINE = 64  # bytes


@dataclass(frozen=True, eq=False)
class WinogradPlan:
    """isa and tile multiply int16 by int16 or floats (a tile's `pixels` are the most Winograd tiles that it has). kinds: the image's tiles.
    group: Winograd tiles of a block, a multiple of the pixels, and at least all of them where there are several kinds.

    lanes: of the instruction's inputs in a vector register. depth: input channels, rounded up to whole steps. ahead: bytes that weights are
    prefetched by, 0 for none; a whole block where they are transformed in registers. chunk: steps of the instruction's depth whose weights are
    transformed at once, while they are in the cache; 0 where they come transformed. in_registers: the kernel transforms them on their way to the
    products, again for every register tile, and keeps none.
    """

    form: WinogradForm
    kinds: tuple[Tiles, ...]
    isa: DotProduct
    tile: Tile
    group: int
    lanes: int
    depth: int
    ahead: int = 0
    chunk: int = 0
    in_registers: bool = False

    @property
    def block(self) -> int:
        """Output channels of a block."""
        return self.tile.vectors * self.isa.lanes

    @property
    def name(self) -> str:
        pixels = "+".join(str(each) for each in dict.fromkeys(self.pixels(zone) for zone in self.zones))
        return f"winograd {self.form.name} {self.isa.name} {pixels}x{self.block}{' +weights' if self.chunk else ''}"

    @property
    def fits(self) -> bool:
        """Whether no tile computes what is beyond the image; then all tiles are one block."""
        return len(self.kinds) > 1 or self.kinds[0].down is not self.form.whole or self.kinds[0].across is not self.form.whole

    @property
    def tiles(self) -> int:
        """Of all images."""
        return sum(kind.count for kind in self.kinds)

    @cached_property
    def numbers(self) -> dict[tuple[int, int], int]:
        """{point (r, s): where it is in V, U and M}."""
        return zones_of(self.kinds, self.form.points)[0]

    @cached_property
    def zones(self) -> list[Zone]:
        """The points by how many tiles of a block have them."""
        if not self.fits:
            return [Zone(0, self.form.points**2, self.group)]
        return zones_of(self.kinds, self.form.points)[1]

    def pixels(self, zone: Zone) -> int:
        """Tiles of a register tile: about equally many in each of the fewest."""
        return math.ceil(zone.tiles / math.ceil(zone.tiles / self.tile.pixels))

    def before(self, kind: int, point: tuple[int, int]) -> int:
        """Where the tiles of a kind begin among those that have a point."""
        return sum(each.count for each in self.kinds[:kind] if each.has(*point))

    @property
    def u_shape(self) -> tuple[int, ...] | None:
        """Of the scratch for transformed weights, a step longer as V is a line; None where there is none."""
        return None if self.in_registers or not self.chunk else (self.form.points**2, self.chunk + 1, *self.step_shape)

    @property
    def scratch(self) -> tuple[int, int]:
        """Elements of V and M."""
        points = self.form.points**2
        return points * self.pitch, points * self.group * self.block

    @cached_property
    def scratch_tensors(self) -> tuple[TensorType, ...]:
        """V, M, and U where the kernel makes it."""
        (v, m), isa = self.scratch, self.isa
        return (TensorType((v,), isa.x_dtype), TensorType((m,), isa.acc_dtype), *((TensorType(self.u_shape, isa.w_dtype),) if self.u_shape else ()))

    @property
    def pitch(self) -> int:
        """Elements of V from one point to the next, a line longer than its tiles: at a power of two all points would meet in one set of the cache."""
        return self.group * self.depth + CACHE_LINE // ITEM_BYTES[self.isa.x_dtype]

    @property
    def step_shape(self) -> tuple[int, ...]:
        """The weights of a step: (vectors, depth / group, lanes, group)."""
        return self.tile.vectors, *self.isa.weight_shape

    @property
    def steps(self) -> int:
        """Of the instruction's depth."""
        return self.depth // self.isa.depth

    def packed_shape(self, channels: int) -> tuple[int, ...]:
        """The weights as the kernel reads them: U (blocks, points, steps, *step_shape), or what it is made of (blocks, steps, taps, elements of a step)."""
        blocks = math.ceil(channels / self.block)
        if self.chunk:
            return blocks, self.steps, self.form.taps**2, math.prod(self.step_shape)
        return blocks, self.form.points**2, self.steps, *self.step_shape


def image_layout(channels: int, plan: WinogradPlan) -> tuple[int, int]:
    """(rows, elements of a row) of the image of so many channels that the tiles read."""
    rows, columns = [max(extents) + plan.form.taps - 1 for extents in zip(*(kind.end for kind in plan.kinds), strict=True)]
    return rows, columns * channels
