"""How a contraction of weights of 4 bits is cut, and what its instructions read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nnc_tvm.schedules.isa import DotProduct, Tile
from nnc_tvm.schedules.loops import round_up
from nnc_tvm.schedules.operators import TensorType
from nnc_tvm.schedules.rules.nibbles import REGISTER_COST, UNPACK_COST, emit_unpack, half_of

SHORT_PANEL = 512  # weights: LLVM would unroll the unpacking of fewer, and spill vectors that it need not read from memory


@dataclass(frozen=True)
class Operand:
    """What an instruction's `emit` reads of a buffer of one dimension: elements from `start`, laid out in `shape`."""

    buffer: Any
    start: Any
    shape: tuple[int, ...] = ()

    @property
    def dtype(self) -> str:
        return str(self.buffer.dtype)

    def place(self, index: Sequence[Any]) -> Any:
        offset = index[0]
        for extent, i in zip(self.shape, index[1:], strict=True):
            offset = offset * extent + i
        return self.start + offset

    def vload(self, index: Sequence[Any], dtype: str) -> Any:
        return self.buffer.vload([self.place(index)], dtype)

    def __getitem__(self, index: Any) -> Any:
        return self.buffer[self.place([index])]


@dataclass(frozen=True)
class Nibbles:
    """Weights as an instruction's `emit` reads them, unpacked on their way into registers: vectors of `lanes` from byte `start` of a row."""

    packed: Any
    row: Any
    start: Any
    vectors: int
    lanes: int
    dtype: str = "int8"

    def vload(self, index: Sequence[int], dtype: str) -> Any:
        number = index[0] * self.vectors + index[1]
        return half_of(self.packed.vload([self.row, self.start + number // 2 * self.lanes], f"uint8x{self.lanes}"), number % 2, self.lanes)


@dataclass(frozen=True, eq=False)
class Int4Plan:
    """isa and tile. turns: (kernel rows, runs, turns of a run) of a tile's reduction, each of tile.steps depths. lanes: bytes unpacked at once.

    chain: turns whose sum fits the instruction's accumulators. blocks: panels of all output channels.
    """

    isa: DotProduct
    tile: Tile
    turns: tuple[int, int, int]
    lanes: int
    chain: int
    blocks: int

    @property
    def block(self) -> int:
        """Output channels of a tile."""
        return self.tile.vectors * self.isa.lanes

    @property
    def turn(self) -> int:
        """Weights of a turn."""
        return self.tile.steps * self.isa.depth * self.block

    @property
    def panel(self) -> int:
        """Weights of a panel, whole vectors of two in a byte."""
        rows, runs, depths = self.turns
        return round_up(rows * runs * depths * self.turn, 2 * self.lanes)

    @property
    def pieces(self) -> tuple[int, int]:
        """(kernel rows, turns of a run) that are summed before the sum is widened; of several rows all runs."""
        rows, runs, depths = self.turns
        whole = min(rows, self.chain // (runs * depths))
        return (whole, depths) if whole else (1, min(self.chain, depths))

    @property
    def sums(self) -> int:
        """How often a tile's sums are widened."""
        (rows, runs, depths), (row_piece, depth_piece) = self.turns, self.pieces
        whole = self.chain >= runs * depths
        return -(-rows // row_piece) if whole else rows * runs * -(-depths // depth_piece)

    @property
    def unpack_cost(self) -> float:
        """Estimated instructions of unpacking a panel."""
        return self.panel * UNPACK_COST

    @property
    def packed(self) -> int:
        """Bytes that a panel is stored in."""
        return self.panel // 2

    def emit_unpack(self, packed: Any, o: Any, panel: Any) -> None:
        """Row o of uint8 `packed` (tiles of channels, self.packed) as weights."""
        emit_unpack(packed, o, panel, self.lanes)

    @property
    def held(self) -> int:
        """Panels that are unpacked before any is read: all short ones, one at a time otherwise."""
        return self.blocks if self.panel <= SHORT_PANEL else 1

    @property
    def scratch(self) -> tuple[TensorType, ...]:
        """Where panels are unpacked."""
        return (TensorType((self.held * self.panel,), self.isa.w_dtype),)

    def operand(self, weights: Any, o: Any, turn: Any) -> Operand | Nibbles:
        """What the instruction reads in a turn, of the panels that `weights` holds."""
        return Operand(weights, (o * self.panel if self.held > 1 else 0) + turn * self.turn, (self.tile.vectors, *self.isa.weight_shape))

    @property
    def name(self) -> str:
        return f"int4 {self.isa.name} {self.tile.pixels}x{self.block}"


@dataclass(frozen=True, eq=False)
class RegisterPlan(Int4Plan):
    """Each tile unpacks its weights itself; whole vectors of weights, two at least in a turn."""

    @property
    def possible(self) -> bool:
        return self.isa.depth * self.isa.lanes == self.lanes and self.tile.steps * self.tile.vectors % 2 == 0

    @property
    def scratch(self) -> tuple[TensorType, ...]:
        return ()

    @property
    def unpack_cost(self) -> float:
        """Of a panel, for each tile of pixels."""
        return self.panel * REGISTER_COST / self.lanes

    def operand(self, weights: Any, o: Any, turn: Any) -> Nibbles:
        return Nibbles(weights, o, turn * (self.turn // 2), self.tile.vectors, self.lanes)

    @property
    def name(self) -> str:
        return f"{super().name} in registers"
