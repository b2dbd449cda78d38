"""Commands of the NNC-1 as dataclasses, and their encoding: docs/npu.md byte for byte."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from nnc_tvm.targets.npu.config import CHANNELS, DEPTH, Config
from nnc_tvm.targets.npu.operands import Image, Sum, Window, signed, word

MAGIC = 0x31434E4E
VERSION = 1
HEADER_WORDS = 8
PARAMETER_BYTES = 10
TABLE_BYTES = 256

RICE = 1
CHUNKS_OUTER, SPARSE, SINGLE_ROUNDING, RESIDUAL, INT4, SLICED, UPWARD = 1, 2, 4, 8, 16, 32, 64


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
        return _command(1, RICE * self.rice, (self.after, self.source, self.destination, self.coded, self.bytes))


@dataclass(frozen=True)
class Conv:
    """CONV or DWCONV. wait: DMAs that must have finished. blocks: of each group of channels, and of that of each slice, those that are not masked.

    weight_bytes: as in SRAM; mask_bytes: of the mask with its padding. residual: (image, sum block). int4: weights of 4 bits.
    slice: input channels that are in the buffers at once, while accumulators stay; 0: all. upward: tiles from the last to the first.
    """

    source: Image
    output: Image
    window: Window
    weights: int
    weight_bytes: int
    parameters: int
    blocks: tuple[int, ...]
    low: int
    high: int
    zero_point: int
    tile_rows: int
    chunk: int
    depthwise: bool = False
    chunks_outer: bool = False
    single_rounding: bool = False
    mask_bytes: int = 0
    residual: tuple[Image, Sum] | None = None
    wait: int = 0
    int4: bool = False
    slice: int = 0
    upward: bool = False

    @property
    def group(self) -> int:
        """Output channels that share a block."""
        return 2 * CHANNELS if self.int4 else CHANNELS

    @property
    def slices(self) -> tuple[int, ...]:
        """Input channels of each."""
        channels = self.source.channels
        return tuple(min(self.slice, channels - at) for at in range(0, channels, self.slice)) if self.slice else (channels,)

    @property
    def steps(self) -> int:
        """Blocks of a group, masked ones too; taps of a depthwise convolution."""
        kh, kw = self.window.kernel
        return kh * kw if self.depthwise else sum(self.slice_steps)

    @property
    def slice_steps(self) -> tuple[int, ...]:
        """Blocks of a group in each slice, masked ones too."""
        kh, kw = self.window.kernel
        return tuple(kh * -(-kw * channels // DEPTH) for channels in self.slices)

    @property
    def block_bytes(self) -> int:
        return CHANNELS if self.depthwise else CHANNELS * DEPTH

    @property
    def moved(self) -> int:
        """Bytes that go to and from the SRAM for each output, beside input and weights."""
        return 1 if self.residual is None else 2

    def words(self) -> tuple[int, ...]:
        flags = (CHUNKS_OUTER * self.chunks_outer | SPARSE * bool(self.mask_bytes) | SINGLE_ROUNDING * self.single_rounding
                 | RESIDUAL * (self.residual is not None) | INT4 * self.int4 | SLICED * bool(self.slice) | UPWARD * self.upward)
        w = self.window
        residual = () if self.residual is None else (*self.residual[0].words(), *self.residual[1].words())
        return _command(3 if self.depthwise else 2, flags, (
            self.wait, *self.source.words(), *self.output.words(), word("4B", *w.kernel, *w.strides), word("4B", *w.padding, *w.dilation), self.weights,
            self.weight_bytes, self.parameters, word("HH", self.tile_rows, self.chunk), word("bbh", self.low, self.high, self.zero_point), *residual,
            *([self.slice] if self.slice else [])))


@dataclass(frozen=True)
class Pool:
    """mode 0: maximum, 1: mean, 2: sum requantized by (multiplier, shift) to zero_point. upward: tiles from the last to the first."""

    source: Image
    output: Image
    window: Window
    mode: int
    low: int
    high: int
    tile_rows: int
    chunk: int
    multiplier: int = 0
    shift: int = 0
    zero_point: int = 0
    wait: int = 0
    upward: bool = False
    moved: ClassVar[int] = 1
    slice: ClassVar[int] = 0

    def words(self) -> tuple[int, ...]:
        w = self.window
        return _command(4, UPWARD * self.upward, (
            self.wait, *self.source.words(), *self.output.words(), word("4B", *w.kernel, *w.strides), word("4B", *w.padding, self.mode, 0), self.multiplier,
            word("bbbB", self.shift, self.low, self.high, 0), word("hH", self.zero_point, 0), word("HH", self.tile_rows, self.chunk)))


def anywhere(job: Conv | Pool) -> Conv | Pool:
    """`job` without its addresses and what it waits for: equal for all that take as long for the same reason."""
    source, output = (Image.dense(0, image.height, image.width, image.channels) for image in (job.source, job.output))
    if isinstance(job, Pool):
        return replace(job, source=source, output=output, wait=0)
    return replace(job, source=source, output=output, weights=0, parameters=0, residual=job.residual and (output, job.residual[1]), wait=0)


@dataclass(frozen=True)
class Add:
    a: Image
    b: Image
    output: Image
    sum: Sum
    wait: int = 0

    def words(self) -> tuple[int, ...]:
        return _command(5, 0, (self.wait, *self.a.words(), *self.b.words(), *self.output.words(), *self.sum.words()))


@dataclass(frozen=True)
class Mul:
    """The product of the images less their zero points, requantized. b: of a's shape, or one pixel for all."""

    a: Image
    b: Image
    output: Image
    multiplier: int
    shift: int
    low: int
    high: int
    zero_point: int
    single_rounding: bool = False
    wait: int = 0

    def words(self) -> tuple[int, ...]:
        return _command(8, SINGLE_ROUNDING * self.single_rounding, (
            self.wait, *self.a.words(), *self.b.words(), *self.output.words(), signed(self.multiplier), word("bbbB", self.shift, self.low, self.high, 0),
            word("hH", self.zero_point, 0)))


@dataclass(frozen=True)
class Lut:
    source: Image
    output: Image
    table: int
    wait: int = 0

    def words(self) -> tuple[int, ...]:
        return _command(6, 0, (self.wait, *self.source.words(), *self.output.words(), self.table))


@dataclass(frozen=True)
class Softmax:
    source: Image
    output: Image
    multiplier: int
    shift: int
    diff_min: int
    wait: int = 0

    def words(self) -> tuple[int, ...]:
        return _command(7, 0, (self.wait, *self.source.words(), *self.output.words(), *map(signed, (self.multiplier, self.shift, self.diff_min))))


Job = Conv | Pool | Add | Mul | Lut | Softmax
Command = Dma | Job


def waiting(job: Job, wait: int) -> Job:
    """`job`, to start when `wait` DMAs have finished."""
    return replace(job, wait=wait)


def _command(op: int, flags: int, words: Sequence[int]) -> tuple[int, ...]:
    return (word("BBH", op, flags, 1 + len(words)), *words)


def encode(commands: Sequence[Command], config: Config, sram_bytes: int, flash_bytes: int) -> bytes:
    """The whole stream: header, commands, END, with its checksum."""
    body = [word for command in commands for word in command.words()] + [word("BBH", 0, 0, 1)]
    header = [MAGIC, VERSION, config.hash, HEADER_WORDS + len(body), sram_bytes, flash_bytes, 0, 0]
    header[6] = zlib.crc32(struct.pack(f"<{len(header) + len(body)}I", *header, *body))
    return struct.pack(f"<{len(header) + len(body)}I", *header, *body)
