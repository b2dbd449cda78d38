"""The hardware of the NNC-1 as data. Frozen: what a compiler is measured on must not move with it."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

DEPTH = 4  # elements of a dot product
CHANNELS = 4  # output channels side by side


@dataclass(frozen=True)
class Config:
    """Sizes of one NNC-1. Times are in cycles.

    macs_per_cycle: 16 for each of `pixels` output positions side by side.
    sram_bytes: the scratchpad. compute_bytes_per_cycle: of the SRAM's 8 bytes a cycle; the other slot of eight is the DMA's.
    flash_bytes_per_cycle, codec_symbols_per_cycle: how fast the DMA reads and decodes.
    requantize_lanes: scalings by a multiplier a cycle.
    input_buffer_bytes, weight_buffer_bytes: private RAM for a tile's input and a chunk's weights.
    queue_depth: jobs that may have been fetched and not finished.
    fill_cycles, job_cycles: overhead of a tile's chunk, and of a job.
    """

    macs_per_cycle: int = 128
    sram_bytes: int = 512 << 10
    sram_bytes_per_cycle: int = 8
    compute_bytes_per_cycle: int = 7
    flash_bytes_per_cycle: int = 1
    codec_symbols_per_cycle: int = 2
    requantize_lanes: int = 4
    input_buffer_bytes: int = 16 << 10
    weight_buffer_bytes: int = 8 << 10
    queue_depth: int = 16
    fill_cycles: int = 12
    job_cycles: int = 16

    @property
    def pixels(self) -> int:
        return self.macs_per_cycle // (DEPTH * CHANNELS)

    @property
    def hash(self) -> int:
        """CRC-32 of everything that a stream's timing or bounds depend on, but for the SRAM's size: streams say what they need of that."""
        words = (self.macs_per_cycle, self.sram_bytes_per_cycle, self.compute_bytes_per_cycle, self.flash_bytes_per_cycle, self.codec_symbols_per_cycle,
                 self.requantize_lanes, self.input_buffer_bytes, self.weight_buffer_bytes, self.queue_depth, self.fill_cycles, self.job_cycles)
        return zlib.crc32(struct.pack(f"<{len(words)}I", *words))
