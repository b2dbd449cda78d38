"""The hardware of the NNC-1 as data. Frozen: what a compiler is measured on must not move with it."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, fields, replace
from functools import cached_property

DEPTH = 4  # elements of a block of weights
CHANNELS = 4  # output channels of a group


@dataclass(frozen=True)
class Config:
    """Sizes of one NNC-1. Times are in cycles.

    macs_per_cycle: of array_channels output channels x array_depth elements for each of `pixels` output positions side by side.
    skips_zeros: the array passes over blocks of 4 channels x 4 elements that are zero; only where its channels and depth are 4.
    int4_weights: multipliers split in two for weights of 4 bits, twice the output channels at once.
    packs_rows: the elements of a kernel row fill the depth together; otherwise each pixel's channels do by themselves.
    depthwise_taps: elements of a depthwise kernel take as many steps as their next multiple of this.
    sum_scalings: multiplications that an element of a sum takes.
    sram_bytes: the scratchpad. compute_bytes_per_cycle: of the SRAM's 8 bytes a cycle; the other slot of eight is the DMA's.
    flash_bytes_per_cycle, codec_symbols_per_cycle: how fast the DMA reads flash and decodes. host_bytes_per_cycle: how fast it moves images between
    SRAM and the host's memory: its slot of eight at the SRAM allows no more. coded_percent: the time that coded bytes take to be read,
    for a codec that packs less well.
    requantize_lanes: scalings by a multiplier a cycle.
    input_buffer_bytes, weight_buffer_bytes: private RAM for a tile's input and a chunk's weights.
    accumulator_bytes: private RAM for a tile's accumulators of a chunk, where their inputs come in slices of channels. swap_cycles: what changing a
    group's accumulators for those of other pixels takes at least.
    queue_depth: jobs that may have been fetched and not finished.
    fill_cycles, job_cycles: overhead of a tile's chunk, and of a job.
    fuses_sums: sums may be the epilogue of a convolution; chases_rows: outputs may be written over rows of the input that nothing reads any more. Both
    the compiler's business alone.
    """

    macs_per_cycle: int = 128
    array_channels: int = 4
    array_depth: int = 4
    skips_zeros: bool = True
    int4_weights: bool = True
    packs_rows: bool = True
    depthwise_taps: int = 1
    sum_scalings: int = 3
    sram_bytes_per_cycle: int = 8
    compute_bytes_per_cycle: int = 7
    flash_bytes_per_cycle: int = 1
    host_bytes_per_cycle: int = 1
    codec_symbols_per_cycle: int = 2
    coded_percent: int = 100
    requantize_lanes: int = 4
    input_buffer_bytes: int = 16 << 10
    weight_buffer_bytes: int = 8 << 10
    accumulator_bytes: int = 2 << 10
    swap_cycles: int = 2
    queue_depth: int = 16
    fill_cycles: int = 12
    job_cycles: int = 16
    sram_bytes: int = 512 << 10
    fuses_sums: bool = True
    chases_rows: bool = True

    @property
    def pixels(self) -> int:
        return self.macs_per_cycle // (self.array_channels * self.array_depth)

    @cached_property
    def array(self) -> Config:
        """What the time of a job depends on: without the SRAM's size and what is the compiler's alone."""
        return replace(self, sram_bytes=0, fuses_sums=True, chases_rows=True)

    @property
    def device(self) -> dict[str, int]:
        """Everything that a stream's timing or bounds depend on, in order, but for the SRAM's size: streams say what they need of that."""
        return {field.name: int(getattr(self, field.name)) for field in fields(self) if field.name not in ("sram_bytes", "fuses_sums", "chases_rows")}

    @property
    def hash(self) -> int:
        """CRC-32 of `device`."""
        return zlib.crc32(struct.pack(f"<{len(self.device)}I", *self.device.values()))

    @property
    def defines(self) -> tuple[str, ...]:
        """Arguments of the C compiler that build the device."""
        return tuple(f"-DNPU_{name.upper()}={value}" for name, value in self.device.items())


U55_LIKE = Config(array_channels=8, array_depth=8, skips_zeros=False, int4_weights=False, packs_rows=False, depthwise_taps=4, sum_scalings=6,
                  coded_percent=111, fuses_sums=False)
"""A control: the compiler of this project on an array like an Ethos-U55-128's, so that what the compiler earns and what the array earns are told
apart. 2 pixels x 8 channels x 8 deep, channels padded to 8; 12 steps for a 3x3 depthwise kernel on 16 outputs; 1.5 cycles for an element of a sum, which is
no convolution's epilogue; zeros are multiplied; coded weights are charged the largest excess of Vela's codec over this one's on MLPerf Tiny's networks
(24.0 to 21.7 KB on keyword spotting)."""

ARRAYS = {"nnc1": Config(), "u55": U55_LIKE}
"""By what --npu array= calls them."""
