"""Commands whose output elements each see a window of their input, CONV, DWCONV and POOL: docs/npu.md byte for byte."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from nnc_tvm.targets.npu.config import CHANNELS, DEPTH
from nnc_tvm.targets.npu.operands import SINGLE_ROUNDING, Image, Sum, Window, command, word

PARAMETER_BYTES = 10  # of an output channel

CHUNKS_OUTER, SPARSE, RESIDUAL, INT4, SLICED, UPWARD = 1, 2, 8, 16, 32, 64


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
        return command(3 if self.depthwise else 2, flags, (
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
        return command(4, UPWARD * self.upward, (
            self.wait, *self.source.words(), *self.output.words(), word("4B", *w.kernel, *w.strides), word("4B", *w.padding, self.mode, 0), self.multiplier,
            word("bbbB", self.shift, self.low, self.high, 0), word("hH", self.zero_point, 0), word("HH", self.tile_rows, self.chunk)))


def anywhere(job: Conv | Pool) -> Conv | Pool:
    """`job` without its addresses and what it waits for: equal for all that take as long for the same reason."""
    source, output = (Image.dense(0, image.height, image.width, image.channels) for image in (job.source, job.output))
    if isinstance(job, Pool):
        return replace(job, source=source, output=output, wait=0)
    return replace(job, source=source, output=output, weights=0, parameters=0, residual=job.residual and (output, job.residual[1]), wait=0)
