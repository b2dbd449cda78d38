"""What the DMA of the NNC-1 brings beside the array's jobs: docs/npu.md, "DMA" and "FETCH, STORE"."""

from __future__ import annotations

from dataclasses import dataclass

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
class Fetch:
    """Number `lent` of the host's blocks from byte `source` on to SRAM once `after` jobs have finished."""

    lent: int
    after: int
    source: int
    destination: int
    bytes: int

    def words(self) -> tuple[int, ...]:
        return command(9, self.lent, (self.after, self.source, self.destination, self.bytes))


@dataclass(frozen=True)
class Store:
    """SRAM to number `lent` of the host's blocks from byte `destination` on once `after` jobs have finished."""

    lent: int
    after: int
    source: int
    destination: int
    bytes: int

    def words(self) -> tuple[int, ...]:
        return command(10, self.lent, (self.after, self.source, self.destination, self.bytes))


Transfer = Dma | Fetch | Store
