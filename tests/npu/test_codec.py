"""The flash code and the weights' layout, decoded as docs/npu.md says."""

from __future__ import annotations

import secrets

import numpy as np

from nnc_tvm.targets.npu.codec import convolution_weights, rice


def decode(data: bytes, count: int) -> bytes:
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little").tolist()
    at = 0

    def take(width: int) -> int:
        nonlocal at
        value = sum(bits[at + i] << i for i in range(width))
        at += width
        return value

    out = []
    while len(out) < count:
        k = take(3)
        for _ in range(min(64, count - len(out))):
            ones = 0
            while k < 7 and ones < 8 and take(1):
                ones += 1
            if k == 7 or ones == 8:
                out.append(take(8))
            else:
                u = ones << k | take(k)
                out.append((u >> 1 ^ -(u & 1)) & 255)
    assert len(bits) - at < 8 and not any(bits[at:])
    return bytes(out)


def test_rice_is_lossless() -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    dice = np.random.default_rng(seed)
    for scale in (0, 1, 5, 30, 200):
        data = np.clip(np.rint(dice.normal(0, scale, int(dice.integers(1, 700)))), -128, 127).astype(np.int8).tobytes()
        coded = rice(data)
        assert decode(coded, len(data)) == data
        assert len(coded) <= len(data) * (8 * 64 + 3) // 512 + 2


def test_zero_blocks_are_masked() -> None:
    weight = np.zeros((8, 1, 1, 32), np.int8)
    weight[5, 0, 0, 9] = -7
    packed = convolution_weights(weight)
    assert packed.blocks == (0, 1) and packed.mask_bytes == 16
    assert packed.data[:2] == bytes([0, 1 << 2])
    assert packed.data[16:] == bytes([0] * 5 + [249] + [0] * 10)
