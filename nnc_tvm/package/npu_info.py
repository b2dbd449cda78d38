"""The NPU's part of a manifest."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NpuLayer:
    """A layer on the NPU. layer: number of the manifest's layer that holds its network, from 0; op: operator; epilogue_of: the operator whose result it
    takes without storing it, "" where there is none; its int8 output: shape, scale and zero_point.

    weights: "int8" or "int4", with "masked" where zero blocks are left out; "" where there are none.
    macs: dense; macs_skipped: of those, times zero blocks of weights. cycles: of one inference, waiting included; array_cycles, sram_cycles,
    dma_cycles: what each of the three needs for it, beside each other; utilization: macs / (cycles * MACs per cycle), above 1
    where zero blocks are skipped or weights have 4 bits. sram_bytes: in use meanwhile. over_bytes: of its output, written over its dying input.
    bound: "array", "sram", "flash", "host" or "overhead", whichever takes the largest part of the cycles.
    host_bytes: of its images, that the DMA moves from and to the host's memory. flash_bytes: of its weights and parameters in flash.
    What it would be without compression: plain_flash_bytes, of weights of 8 bits not coded; plain_array_cycles, nothing skipped and no weights of 4 bits.
    whole_macs, whole_bytes: of the layer that this and the one that reads it are factors of low rank of, bytes of weights of 8 bits; factor_macs,
    factor_bytes: of both factors. 0 where it is no first factor.
    """

    name: str
    layer: int
    op: str
    epilogue_of: str
    shape: tuple[int, ...]
    scale: float | None
    zero_point: int | None
    weights: str
    macs: int
    macs_skipped: int
    cycles: int
    array_cycles: int
    sram_cycles: int
    dma_cycles: int
    utilization: float
    sram_bytes: int
    over_bytes: int
    bound: str
    host_bytes: int
    flash_bytes: int
    plain_flash_bytes: int
    plain_array_cycles: int
    whole_macs: int
    whole_bytes: int
    factor_macs: int
    factor_bytes: int


@dataclass(frozen=True)
class NpuCommand:
    """A command in time. layer: number of the NPU's layer. op: "Dma", "Fetch", "Conv", ...; start, end: cycles from the begin of the first network.

    Of jobs, what they write of their layer's output: shape (H, W, C), from element `at` on, pixels as far apart as the layer's, rows `row` elements.
    """

    layer: int
    op: str
    start: int
    end: int
    at: int
    row: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class NpuBounds:
    """Cycles that no schedule goes below: of the multiplications, of reading flash, of reading and writing every layer's images once."""

    macs: int
    flash: int
    images: int


@dataclass(frozen=True)
class NpuSavings:
    """What compressed weights save, of all layers. macs_skipped: by zero blocks. int4_macs: with weights of 4 bits, two at a time.

    array_cycles, flash_bytes: of layers with weights; plain_...: what they would be with weights of 8 bits, not coded, nothing skipped.
    factors: pairs of layers that are the factors of one; factor_macs, factor_bytes: theirs, of weights of 8 bits; whole_...: those of the layers that they
    stand for.
    """

    macs_skipped: int
    int4_macs: int
    array_cycles: int
    plain_array_cycles: int
    flash_bytes: int
    plain_flash_bytes: int
    factors: int
    factor_macs: int
    factor_bytes: int
    whole_macs: int
    whole_bytes: int


@dataclass(frozen=True)
class NpuInfo:
    """An NPU beside the CPU. cycles: of one inference, by the compiler's clock; sram_bytes: what its networks need; macs: done there."""

    macs_per_cycle: int
    sram_bytes_per_cycle: int
    flash_bytes_per_cycle: int
    cycles: int
    sram_bytes: int
    macs: int
    bounds: NpuBounds
    savings: NpuSavings
    layers: tuple[NpuLayer, ...]
    commands: tuple[NpuCommand, ...]
