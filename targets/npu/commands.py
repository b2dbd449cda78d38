"""Commands of the NNC-1 and their stream, encoded: docs/npu.md byte for byte."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import replace

from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.operands import word
from nnc_tvm.targets.npu.pixelwise import Add, Lut, Mul, Softmax
from nnc_tvm.targets.npu.transfers import Transfer
from nnc_tvm.targets.npu.windowed import Conv, Pool

MAGIC = 0x31434E4E
VERSION = 2
HEADER_WORDS = 8

Job = Conv | Pool | Add | Mul | Lut | Softmax
Command = Transfer | Job


def waiting(job: Job, wait: int) -> Job:
    """`job`, to start when `wait` transfers have finished."""
    return replace(job, wait=wait)


def encode(commands: Sequence[Command], config: Config, sram_bytes: int, flash_bytes: int) -> bytes:
    """The whole stream: header, commands, END, with its checksum."""
    body = [word for command in commands for word in command.words()] + [word("BBH", 0, 0, 1)]
    header = [MAGIC, VERSION, config.hash, HEADER_WORDS + len(body), sram_bytes, flash_bytes, 0, 0]
    header[6] = zlib.crc32(struct.pack(f"<{len(header) + len(body)}I", *header, *body))
    return struct.pack(f"<{len(header) + len(body)}I", *header, *body)
