"""What the DMA of the NNC-1 brings beside the array's jobs: docs/npu.md, "DMA" and "FETCH, STORE"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nnc_tvm.targets.npu.operands import command

RICE = 1
LENT = 4  # blocks of the host's memory that a stream moves from and to


@dataclass(frozen=True)
class Dma:
    """Flash to SRAM once `after` jobs have finished. coded: bytes in flash, bytes: in SRAM."""

    after: int
    source: int
    destination: int
    coded: int
    bytes: int
    rice: bool = False

    def words(self) -> tuple[int, ...]:
        return command(1, RICE * self.rice, (self.after, self.source, self.destination, self.coded, self.bytes))


@dataclass(frozen=True)
class Move:
    """`bytes` between SRAM and number `lent` of the host's blocks, from byte `source` to byte `destination`, once `after` jobs have finished."""

    code: ClassVar[int]
    lent: int
    after: int
    source: int
    destination: int
    bytes: int

    def words(self) -> tuple[int, ...]:
        return command(self.code, self.lent, (self.after, self.source, self.destination, self.bytes))


class Fetch(Move):
    """From the host's block to SRAM."""

    code = 9


class Store(Move):
    """From SRAM to the host's block."""

    code = 10


Transfer = Dma | Fetch | Store
