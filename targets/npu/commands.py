"""Commands of the NNC-1 and their stream, encoded: docs/npu.md byte for byte."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.operands import command, word
from nnc_tvm.targets.npu.pixelwise import Add, Lut, Mul, Softmax
from nnc_tvm.targets.npu.windowed import Conv, Pool

MAGIC = 0x31434E4E
VERSION = 1
HEADER_WORDS = 8

RICE = 1


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


Job = Conv | Pool | Add | Mul | Lut | Softmax
Command = Dma | Job


def waiting(job: Job, wait: int) -> Job:
    """`job`, to start when `wait` DMAs have finished."""
    return replace(job, wait=wait)


def encode(commands: Sequence[Command], config: Config, sram_bytes: int, flash_bytes: int) -> bytes:
    """The whole stream: header, commands, END, with its checksum."""
    body = [word for command in commands for word in command.words()] + [word("BBH", 0, 0, 1)]
    header = [MAGIC, VERSION, config.hash, HEADER_WORDS + len(body), sram_bytes, flash_bytes, 0, 0]
    header[6] = zlib.crc32(struct.pack(f"<{len(header) + len(body)}I", *header, *body))
    return struct.pack(f"<{len(header) + len(body)}I", *header, *body)
