"""How a contraction over lists of windows is cut, and what its instruction reads of an entry."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.intrin.windows import WindowProduct
from nnc_tvm.schedules.isa import Tile
from nnc_tvm.schedules.operators.operator import ITEM_BYTES
from nnc_tvm.schedules.rules.contraction_plan import Contraction, x_layout
from nnc_tvm.schedules.rules.window_lists import Slots


@dataclass(frozen=True, eq=False)
class WindowPlan:
    """isa and tile. slots: of all `blocks` of output channels. Entries of `shared` slots have their places in the same bytes: of N:M, two bits each."""

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
    def shared(self) -> int:
        return 1 if self.slots.bases is None else 4

    @cached_property
    def first(self) -> np.ndarray:
        """int32 (blocks + 1,): where each block's entries begin."""
        return np.concatenate([[0], np.cumsum(-(-np.bincount(self.slots.block, minlength=self.blocks) // self.shared))]).astype(np.int32)

    @property
    def entries(self) -> int:
        """At least one is stored."""
        return max(1, int(self.first[-1]))

    @property
    def name(self) -> str:
        packed = " packed" if self.shared > 1 else ""
        return f"{self.isa.taps} of {self.isa.depth}{packed} {self.isa.name} {self.tile.pixels}x{self.block}"

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
    def picks(self) -> int:
        """Taps of a vector's lanes."""
        return self.isa.lanes * self.isa.taps

    @cached_property
    def bases(self) -> np.ndarray:
        """uint8 (bases, picks): what places begin at, of all slots each once."""
        kinds = np.zeros((1, self.isa.taps), np.int64) if self.slots.bases is None or not len(self.slots.bases) else np.unique(self.slots.bases, axis=0)
        return np.tile(kinds, (1, self.isa.lanes)).astype(np.uint8)

    @property
    def weight_bytes(self) -> int:
        entry = (self.shared + 1) * self.tile.vectors * self.picks + self.shared * ITEM_BYTES[self.start_dtype]
        return self.entries * (entry + self.shared * (self.shared > 1)) + ITEM_BYTES["int32"] * (self.blocks + 1) + self.bases.size * (self.shared > 1)

    def pack(self) -> tuple[np.ndarray, ...]:
        """As the kernel reads them, an entry of zeros where there is none:

        (values int8 (entries, shared, vectors, picks), places uint8 (entries, vectors, picks), starts of the windows (entries * shared,), first entries)
        and for N:M (bases uint8 (bases, picks), which of them (entries * shared,)).
        """
        c, slots, (runs, _), block = self.c, self.slots, self.c.runs, self.slots.block
        total, vectors = self.entries * self.shared, self.tile.vectors
        counts = np.bincount(block, minlength=self.blocks)
        at = self.first[block] * self.shared + np.arange(len(block)) - (np.cumsum(counts) - counts)[block]
        values, places, starts = np.zeros((total, vectors, self.picks), np.int8), np.zeros((total, vectors, self.picks), np.uint8), np.zeros(total, np.int64)
        values[at] = slots.values.reshape(-1, vectors, self.picks)
        starts[at] = slots.line // runs * c.dilation[0] * self.layout[1] + slots.line % runs * c.dilation[1] * c.image[3] + slots.start
        listed = values.reshape(self.entries, self.shared, vectors, self.picks), starts.astype(self.start_dtype)
        if slots.bases is None:
            places[at] = slots.places.reshape(-1, vectors, self.picks)
            return listed[0], places, listed[1], self.first
        places[at] = (slots.places - slots.bases[:, None]).reshape(-1, vectors, self.picks)
        which = np.zeros(total, np.uint8)
        which[at] = np.unique(slots.bases, axis=0, return_inverse=True)[1].reshape(-1)
        together = places.reshape(self.entries, self.shared, vectors, self.picks) << (2 * np.arange(self.shared, dtype=np.uint8)[:, None, None])
        return listed[0], together.sum(1).astype(np.uint8), listed[1], self.first, self.bases, which


@dataclass(frozen=True)
class Slot:
    """Picks of slot `s` of an entry. places, bases: of its vectors, and of all."""

    plan: WindowPlan
    packed: tuple[Any, ...]
    entry: Any
    s: int

    def values(self, v: int) -> Any:
        return self.packed[0].vload([self.entry, self.s, v, 0], f"int8x{self.plan.picks}")

    def places(self, v: int) -> Any:
        plan, lanes = self.plan, self.plan.picks
        places = self.packed[1].vload([self.entry, v, 0], f"uint8x{lanes}")
        if plan.shared > 1:
            *_, bases, which = self.packed
            base = bases.vload([which[self.entry * plan.shared + self.s], 0], f"uint8x{lanes}")
            words, base = [T.reinterpret(part, dtype=f"int32x{lanes // 4}") for part in (places, base)]
            shifted = T.shift_right(words, T.broadcast(T.int32(2 * self.s), lanes // 4)) if self.s else words
            two_bits = T.bitwise_and(shifted, T.broadcast(T.int32(0x03030303), lanes // 4))
            places = T.reinterpret(T.bitwise_or(two_bits, base), dtype=f"uint8x{lanes}")  # bases are multiples of four
        return plan.isa.widen(places)

    @property
    def start(self) -> Any:
        return T.Cast("int32", self.packed[2][self.entry * self.plan.shared + self.s])
