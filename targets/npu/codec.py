"""Weights and parameters of the NNC-1 as they lie in SRAM, and the Golomb-Rice code they may have in flash. See docs/npu.md."""

from __future__ import annotations

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
    """data: bytes in SRAM. blocks: not masked, of each group of 4 channels. mask_bytes: at the front of data, 0 where nothing is masked."""

    data: bytes
    blocks: tuple[int, ...]
    mask_bytes: int = 0


def _groups(weight: np.ndarray) -> np.ndarray:
    """(O, ...) as (groups, 4, ...), zeros in the last."""
    padded = np.zeros((-(-weight.shape[0] // CHANNELS) * CHANNELS, *weight.shape[1:]), np.int8)
    padded[:weight.shape[0]] = weight
    return padded.reshape(-1, CHANNELS, *weight.shape[1:])


def convolution_weights(weight: np.ndarray) -> Weights:
    """(O, KH, KW, C) within int8, in blocks of 4 channels x 4 elements; with a mask where that is smaller."""
    o, kh, kw, c = weight.shape
    steps = -(-kw * c // DEPTH)
    rows = np.zeros((o, kh, steps * DEPTH), np.int8)
    rows[:, :, :kw * c] = weight.reshape(o, kh, kw * c)
    blocks = _groups(rows).reshape(-1, CHANNELS, kh * steps, DEPTH).swapaxes(1, 2)  # group, step, channel, element
    kept = blocks.any(axis=(2, 3))
    mask = np.packbits(kept, axis=1, bitorder="little").tobytes()
    mask += bytes(-len(mask) % MASK_ALIGNMENT)
    dense = blocks.tobytes()
    sparse = mask + blocks[kept].tobytes()
    if len(sparse) < len(dense):
        return Weights(sparse, tuple(int(n) for n in kept.sum(axis=1)), len(mask))
    return Weights(dense, (kh * steps,) * len(blocks))


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


def rice(data: bytes) -> bytes:
    """`data` in the flash code: the best parameter for each 64 bytes."""
    signed = np.frombuffer(data, np.int8).astype(np.int64)
    folded = np.where(signed < 0, -2 * signed - 1, 2 * signed)
    bits = [_best_group(signed[at:at + GROUP] & 255, folded[at:at + GROUP]) for at in range(0, len(signed), GROUP)]
    return np.packbits(np.concatenate(bits), bitorder="little").tobytes() if bits else b""


def _best_group(raw: np.ndarray, folded: np.ndarray) -> np.ndarray:
    """The bits of one group, low bit first."""
    costs = [int(np.where(folded >> k < ESCAPE, (folded >> k) + 1 + k, ESCAPE + 8).sum()) for k in range(RAW)]
    k = int(np.argmin(costs))
    if costs[k] >= 8 * len(raw):
        return np.concatenate([_bits(RAW, 3), ((raw[:, None] >> np.arange(8)) & 1).ravel().astype(np.uint8)])
    pieces = [_bits(k, 3)]
    for value, byte in zip(folded.tolist(), raw.tolist(), strict=True):
        ones = value >> k
        pieces += [np.ones(ESCAPE, np.uint8), _bits(byte, 8)] if ones >= ESCAPE else [np.ones(ones, np.uint8), _bits(0, 1), _bits(value & ((1 << k) - 1), k)]
    return np.concatenate(pieces)


def _bits(value: int, count: int) -> np.ndarray:
    return ((value >> np.arange(count)) & 1).astype(np.uint8)
