"""How a contraction over lists of windows is cut, and what its instruction reads of an entry."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from nnc_tvm.schedules.intrin.windows import WindowProduct
from nnc_tvm.schedules.isa import Tile
from nnc_tvm.schedules.operators.operator import ITEM_BYTES
from nnc_tvm.schedules.rules.contraction_plan import Contraction, x_layout
from nnc_tvm.schedules.rules.window_lists import Slots


@dataclass(frozen=True, eq=False)
class WindowPlan:
    """isa and tile. slots: of all `blocks` of output channels."""

    c: Contraction
    isa: WindowProduct
    tile: Tile
    slots: Slots
    blocks: int

    @property
    def block(self) -> int:
        """Output channels of a tile."""
        return self.tile.vectors * self.isa.lanes

    @property
    def count(self) -> int:
        """Of the slots; at least one is stored."""
        return max(1, len(self.slots.block))

    @property
    def name(self) -> str:
        return f"{self.isa.taps} of {self.isa.depth} {self.isa.name} {self.tile.pixels}x{self.block}"

    @property
    def reach(self) -> int:
        """Elements that are read of a run."""
        return max(self.c.runs[1], self.isa.depth)

    @property
    def layout(self) -> tuple[int, int, int, bool]:
        """Of the image, as `x_layout` says."""
        return x_layout(self.c, self.isa, self.tile.pixels, self.reach)

    @property
    def start_dtype(self) -> str:
        """Of the windows' places, offsets into an image's padded rows."""
        c = self.c
        return "uint16" if self.layout[1] * ((c.weight.shape[1] - 1) * c.dilation[0] + 1) <= 1 << 16 else "int32"

    @property
    def packed_shape(self) -> tuple[int, int, int]:
        """Of the places and values: (slots, vectors, taps of a vector's lanes)."""
        return self.count, self.tile.vectors, self.isa.lanes * self.isa.taps

    @property
    def weight_bytes(self) -> int:
        slot = 2 * self.block * self.isa.taps + ITEM_BYTES[self.start_dtype]
        return self.count * slot + ITEM_BYTES["int32"] * (self.blocks + 1)

    @cached_property
    def first(self) -> np.ndarray:
        """int32 (blocks + 1,): where each block's slots begin."""
        return np.concatenate([[0], np.cumsum(np.bincount(self.slots.block, minlength=self.blocks))]).astype(np.int32)

    def pack(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(values int8, places uint8, starts of the windows, first slots) as the kernel reads them; a slot of zeros where there is none."""
        c, slots, (runs, _) = self.c, self.slots, self.c.runs
        values, places, starts = np.zeros(self.packed_shape, np.int8), np.zeros(self.packed_shape, np.uint8), np.zeros(self.count, self.start_dtype)
        number = len(slots.block)
        values[:number], places[:number] = [part.reshape(number, *self.packed_shape[1:]) for part in (slots.values, slots.places)]
        starts[:number] = slots.line // runs * c.dilation[0] * self.layout[1] + slots.line % runs * c.dilation[1] * c.image[3] + slots.start
        return values, places, starts, self.first


@dataclass(frozen=True)
class Slot:
    """Picks of a slot."""

    plan: WindowPlan
    packed_values: Any
    packed_places: Any
    number: Any

    def values(self, v: int) -> Any:
        return self.packed_values.vload([self.number, v, 0], f"int8x{self.plan.packed_shape[2]}")

    def places(self, v: int) -> Any:
        return self.plan.isa.widen(self.packed_places.vload([self.number, v, 0], f"uint8x{self.plan.packed_shape[2]}"))
