"""Weights and parameters of the NNC-1 as they lie in SRAM, and the Golomb-Rice code they may have in flash. See docs/npu.md."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from nnc_tvm.schedules.quantization import FixedRequantize
from nnc_tvm.targets.npu.config import CHANNELS, DEPTH

GROUP = 64  # symbols that share a Rice parameter
RAW = 7  # the parameter that stands for plain bytes
ESCAPE = 8  # ones in front of a plain byte
MASK_ALIGNMENT = 16


@dataclass(frozen=True, eq=False)
class Weights:
    """data: bytes in SRAM. blocks: not masked, of each group of channels, and of that of each slice. mask_bytes: at the front of data, 0 where nothing is
    masked."""

    data: bytes
    blocks: tuple[int, ...]
    mask_bytes: int = 0


def _groups(weight: np.ndarray, channels: int = CHANNELS) -> np.ndarray:
    """(O, ...) as (groups, channels, ...), zeros in the last."""
    padded = np.zeros((-(-weight.shape[0] // channels) * channels, *weight.shape[1:]), np.int8)
    padded[:weight.shape[0]] = weight
    return padded.reshape(-1, channels, *weight.shape[1:])


def fits_int4(weight: np.ndarray) -> bool:
    """Whether all weights are within 4 bits."""
    return bool(weight.min() >= -8 and weight.max() <= 7)


def _steps(weight: np.ndarray) -> np.ndarray:
    """(O, KH, KW, C) as (O, steps, 4): the elements of each kernel row, filled up with zeros."""
    o, kh, kw, c = weight.shape
    steps = -(-kw * c // DEPTH)
    rows = np.zeros((o, kh, steps * DEPTH), np.int8)
    rows[:, :, :kw * c] = weight.reshape(o, kh, kw * c)
    return rows.reshape(o, kh * steps, DEPTH)


def convolution_weights(weight: np.ndarray, int4: bool = False, masks: bool = True, slice_: int = 0) -> Weights:
    """(O, KH, KW, C) within int8, in blocks of 4 channels x 4 elements, or with int4 of 8 x 4, two in a byte; with a mask where that is smaller.

    slice_: input channels that are together, 0: all."""
    c = weight.shape[-1]
    slices = [_steps(weight[..., at:at + (slice_ or c)]) for at in range(0, c, slice_ or c)]
    ends = np.cumsum([each.shape[1] for each in slices])
    channels = 2 * CHANNELS if int4 else CHANNELS
    blocks = _groups(np.concatenate(slices, axis=1), channels).swapaxes(1, 2)  # group, step, channel, element
    kept = blocks.any(axis=(2, 3))
    if int4:
        blocks = blocks[..., ::2] & 15 | blocks[..., 1::2] << 4
    mask = np.packbits(kept, axis=1, bitorder="little").tobytes()
    mask += bytes(-len(mask) % MASK_ALIGNMENT)
    dense = blocks.tobytes()
    sparse = mask + blocks[kept].tobytes()
    masked = masks and len(sparse) < len(dense)
    counts = np.stack([part.sum(axis=1) if masked else np.full(len(part), part.shape[1]) for part in np.split(kept, ends[:-1], axis=1)], axis=1)
    return Weights(sparse if masked else dense, tuple(counts.reshape(-1).tolist()), len(mask) if masked else 0)


def depthwise_weights(weight: np.ndarray) -> Weights:
    """(KH, KW, C) within int8: for each group of 4 channels, tap by tap."""
    kh, kw, c = weight.shape
    groups = _groups(weight.reshape(kh * kw, c).T)
    return Weights(groups.swapaxes(1, 2).tobytes(), (kh * kw,) * len(groups))


def parameters(bias: np.ndarray, requantize: FixedRequantize) -> bytes:
    """10 bytes for each output channel: bias, multiplier, shift, 0."""
    table = np.zeros(bias.size, np.dtype([("bias", "<i4"), ("multiplier", "<i4"), ("shift", "i1"), ("zero", "u1")]))
    table["bias"], table["multiplier"], table["shift"] = bias, requantize.multiplier, requantize.shift
    return table.tobytes()


def smallest(data: bytes) -> tuple[bytes, bool]:
    """`data` as it takes the least flash, and whether it is in the flash code there."""
    coded = rice(data)
    return (coded, True) if len(coded) < len(data) else (data, False)


@functools.lru_cache(1 << 12)
def rice(data: bytes) -> bytes:
    """`data` in the flash code: the best parameter for each 64 bytes. Remembered: a search over plans codes the same weights again and again."""
    if not data:
        return b""
    groups = -(-len(data) // GROUP)
    raw = np.frombuffer(data + bytes(groups * GROUP - len(data)), np.int8).reshape(groups, GROUP).astype(np.int16)
    present = np.arange(groups * GROUP).reshape(groups, GROUP) < len(data)
    folded = np.where(raw < 0, -2 * raw - 1, 2 * raw)
    costs = np.stack([np.where(folded >> k < ESCAPE, (folded >> k) + 1 + k, ESCAPE + 8) for k in range(RAW)])
    costs = (costs * present).sum(axis=2)
    parameter = costs.argmin(axis=0)
    parameter[costs.min(axis=0) >= 8 * present.sum(axis=1)] = RAW
    codes, lengths = _symbols(raw & 255, folded, parameter[:, None])
    codes = np.concatenate([parameter[:, None], codes], axis=1)
    lengths = np.concatenate([np.full((groups, 1), 3), lengths * present], axis=1)
    bits = codes[..., None] >> np.arange(ESCAPE + 8) & 1
    return np.packbits(bits[np.arange(ESCAPE + 8) < lengths[..., None]].astype(np.uint8), bitorder="little").tobytes()


def _symbols(raw: np.ndarray, folded: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The bits of every symbol with its group's parameter, the first one lowest, and how many they are."""
    ones = folded >> k
    escaped = ones >= ESCAPE
    code = np.where(escaped, (1 << ESCAPE) - 1 | raw << ESCAPE, (1 << np.minimum(ones, ESCAPE)) - 1 | (folded & (1 << k) - 1) << np.minimum(ones, ESCAPE) + 1)
    length = np.where(escaped, ESCAPE + 8, ones + 1 + k)
    return np.where(k == RAW, raw, code), np.where(k == RAW, 8, length)
