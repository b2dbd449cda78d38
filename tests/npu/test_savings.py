"""What compressed weights save on the device, as reports count it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nnc_tvm.schedules.operators import Dense
from nnc_tvm.schedules.quantization import FixedRequantize
from nnc_tvm.targets.npu import profile
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.savings import Whole, factors, plain_bytes
from tests.kernels.cases import random_generator
from tests.npu.test_compressed import dense_network


def test_zeros_and_four_bits() -> None:
    """Three layers of 128 x 128: plain, half of the 4 x 4 blocks zero, and of 4 bits."""
    rng = random_generator()
    plain = rng.choice([-100, -60, 70, 90], (128, 128))
    kept = np.add.outer(np.arange(32), np.arange(32)) % 2
    network, layers = dense_network([plain, plain * np.kron(kept, np.ones((4, 4), int)), np.sign(plain) * 7])
    found = profile.layers(network, Config())
    assert [found[n].weights for n in range(3)] == ["int8", "int8 masked", "int4"]
    assert [found[n].macs_skipped for n in range(3)] == [0, 128 * 128 // 2, 0]
    assert found[0].plain_array == found[1].plain_array == found[2].plain_array == found[0].array
    assert [found[0].array // found[n].array for n in (1, 2)] == [2, 2]
    assert all(plain_bytes(layer) == 128 * 128 + 128 * 10 for layer in layers)
    assert found[0].flash_bytes > 128 * 128 and all(found[n].flash_bytes < 0.7 * found[0].flash_bytes for n in (1, 2))


def test_factors_of_low_rank() -> None:
    """Linear layers of fewer channels than both that they join; a clamp between them makes them layers of their own."""
    rng = random_generator()
    network, _ = dense_network([rng.integers(-100, 100, shape) for shape in [(16, 256), (128, 16), (200, 128)]])
    assert factors(network.nodes, "v3") == {0: Whole(256 * 128, 256 * 128, 256 * 16 + 16 * 128, 256 * 16 + 16 * 128)}
    assert factors(network.nodes, "v1") == {}
    first = network.nodes[0].operator
    assert isinstance(first, Dense) and isinstance(first.epilogue, FixedRequantize)
    clamped = replace(network.nodes[0], operator=replace(first, epilogue=replace(first.epilogue, low=0)))
    assert factors([clamped, *network.nodes[1:]], "v3") == {}
