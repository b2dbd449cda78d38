"""Command streams written word by word from docs/npu.md, apart from the compiler's encoder: the two must agree."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np

from nnc_tvm.schedules.operators import LinearCombination
from nnc_tvm.schedules.quantization import FixedRequantize
from nnc_tvm.targets.npu.config import Config

END, DMA, CONV, DWCONV, POOL, ADD, LUT, SOFTMAX = range(8)
RICE, CHUNKS_OUTER, SPARSE, SINGLE_ROUNDING, RESIDUAL = 1, 1, 2, 4, 8


@dataclass(frozen=True)
class Image:
    """An image in SRAM."""

    base: int
    shape: tuple[int, int, int]
    zero: int
    pixel_pitch: int
    row_pitch: int
    first: int = 0
    wrap: int = 0

    @property
    def end(self) -> int:
        h, w, c = self.shape
        return self.base + ((self.wrap or h) - 1) * self.row_pitch + (w - 1) * self.pixel_pitch + c

    def words(self, zero: bool = True) -> bytes:
        h, w, c = self.shape
        return struct.pack("<IHHHhIIHH", self.base, h, w, c, self.zero if zero else 0, self.pixel_pitch, self.row_pitch, self.first, self.wrap)

    def addresses(self) -> np.ndarray:
        """Addresses of all elements, (H, W, C)."""
        h, w, c = self.shape
        rows = (self.first + np.arange(h)) % self.wrap if self.wrap else np.arange(h)
        return self.base + rows[:, None, None] * self.row_pitch + np.arange(w)[None, :, None] * self.pixel_pitch + np.arange(c)

    def read(self, sram: np.ndarray) -> np.ndarray:
        return sram[self.addresses()].view(np.int8)

    def write(self, sram: np.ndarray, values: np.ndarray) -> None:
        sram[self.addresses()] = values.astype(np.int8).view(np.uint8).reshape(self.shape)


def command(op: int, flags: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack("<BBH", op, flags, len(body) // 4 + 1) + body


def stream(commands: list[bytes], sram_bytes: int, flash_bytes: int, config: Config | None = None) -> bytes:
    body = b"".join(commands) + command(END, 0)
    header = [0x31434E4E, 1, (config or Config()).hash, 8 + len(body) // 4, sram_bytes, flash_bytes, 0, 0]
    return seal(struct.pack("<8I", *header) + body)


def seal(whole: bytes) -> bytes:
    """The stream with its checksum."""
    return whole[:24] + struct.pack("<I", zlib.crc32(whole[:24] + bytes(4) + whole[28:])) + whole[28:]


def dma(source: int, destination: int, flash_bytes: int, sram_bytes: int, wait: int = 0, flags: int = 0) -> bytes:
    return command(DMA, flags, struct.pack("<5I", wait, source, destination, flash_bytes, sram_bytes))


def sum_block(operator: LinearCombination) -> bytes:
    r = operator.requantize
    assert isinstance(r, FixedRequantize)
    return struct.pack("<iibbBbibbhhh", *operator.factors, *operator.shifts, operator.left_shift, int(r.shift[0]), int(r.multiplier[0]), r.low, r.high,
                       r.zero_point, *operator.zero_points)


def parameters(bias: np.ndarray, requantize: FixedRequantize) -> bytes:
    """10 bytes for each channel."""
    multiplier, shift = np.broadcast_to(requantize.multiplier, bias.shape), np.broadcast_to(requantize.shift, bias.shape)
    return b"".join(struct.pack("<iibB", *values, 0) for values in zip(bias.tolist(), multiplier.tolist(), shift.tolist(), strict=True))


def blocks(weight: np.ndarray) -> np.ndarray:
    """(O, KH, KW, C) as int8 (groups, blocks, 4 channels, 4 elements)."""
    o, kh, kw, c = weight.shape
    groups, steps = -(-o // 4), -(-kw * c // 4)
    full = np.zeros((groups * 4, kh, steps * 4), np.int8)
    full[:o, :, :kw * c] = weight.reshape(o, kh, kw * c)
    return full.reshape(groups, 4, kh * steps, 4).transpose(0, 2, 1, 3)


def dense_weights(weight: np.ndarray) -> bytes:
    return blocks(weight).tobytes()


def sparse_weights(weight: np.ndarray) -> bytes:
    """Masks, padded, and the blocks that are not zero."""
    every = blocks(weight)
    kept = every.any(axis=(2, 3))
    masks = np.packbits(kept, axis=1, bitorder="little").tobytes()
    return masks + bytes(-len(masks) % 16) + every[kept].tobytes()


def depthwise_weights(weight: np.ndarray) -> bytes:
    """(KH, KW, C) in groups of 4 channels."""
    kh, kw, c = weight.shape
    full = np.zeros((kh, kw, -(-c // 4) * 4), np.int8)
    full[:, :, :c] = weight
    return full.reshape(kh, kw, -1, 4).transpose(2, 0, 1, 3).tobytes()


def rice(symbols: np.ndarray, k: int) -> bytes:
    """int8 symbols with parameter k for every group, 7 for raw bytes."""
    bits: list[int] = []
    for i, s in enumerate(symbols.tolist()):
        if i % 64 == 0:
            bits += [k >> b & 1 for b in range(3)]
        u = ((s << 1) ^ (s >> 7)) & 255
        if k == 7:
            bits += [s >> b & 1 for b in range(8)]
        elif u >> k >= 8:
            bits += [1] * 8 + [s >> b & 1 for b in range(8)]
        else:
            bits += [1] * (u >> k) + [0] + [u >> b & 1 for b in range(k)]
    return np.packbits(bits, bitorder="little").tobytes()
