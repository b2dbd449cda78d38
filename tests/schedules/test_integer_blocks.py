"""4-bit integers are found in the floats that dequantizing made of them, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from nnc_tvm.schedules.integer_blocks import integer_blocks

SEED = 5


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("size", [16, 32, 128, 384])
def test_found_again(size: int, symmetric: bool) -> None:
    rng = np.random.default_rng(SEED)
    blocks = (7, 384 // size)
    nibble = rng.integers(0, 16, (*blocks, size))
    zero = np.full(blocks, 8) if symmetric else rng.integers(0, 16, blocks)
    scale = rng.uniform(1e-3, 1, blocks).astype(np.float32)
    weight = ((nibble - zero[..., None]).astype(np.float32) * scale[..., None]).reshape(7, 384)
    weight[2] = 0
    found = integer_blocks(weight)
    assert found is not None and found.size >= size and found.nibble.max() <= 15
    spread = [np.repeat(values, found.size, axis=1) for values in (found.scale, found.zero)]
    np.testing.assert_allclose(spread[0] * (found.nibble.astype(np.float32) - spread[1]), weight, rtol=3e-7)
    assert not symmetric or (found.zero == 8).all()


def test_trained_floats_have_none() -> None:
    rng = np.random.default_rng(SEED)
    weight = rng.standard_normal((9, 64)).astype(np.float32)
    assert integer_blocks(weight) is None
    grid = rng.integers(-7, 8, (9, 64)).astype(np.float32) * np.float32(0.01)
    assert integer_blocks(grid) is not None
    grid[4, 5] *= np.float32(1.0001)
    assert integer_blocks(grid) is None
    assert integer_blocks(np.full((3, 32), np.nan, np.float32)) is None
    assert integer_blocks(rng.integers(-127, 128, (9, 64)).astype(np.float32)) is None
