"""Differences of tensors: units, layouts, infinities."""

from __future__ import annotations

import numpy as np
import pytest

from nnc_tvm.verify.compare import Accumulator
from nnc_tvm.verify.tensor import Tensor

SEED = 3


def one(ours: Tensor, theirs: Tensor) -> Accumulator:
    accumulator = Accumulator()
    assert accumulator.add(ours, theirs)
    return accumulator


def test_uint8_is_int8_moved_by_128() -> None:
    q = np.arange(-128, 128, dtype=np.int16)
    result = one(Tensor(q.astype(np.int8), 0.5, -3), Tensor((q + 128).astype(np.uint8), 0.5, 125)).result()
    assert result.exact and result.sqnr_db is None and result.max_diff == 0 and result.unit == "steps"


def test_one_step() -> None:
    """9 of 10 elements at 10 steps from the zero point agree, one is off by one step: 10 log10(1000 / 1)."""
    theirs = np.full(10, 13, np.int8)
    ours = theirs.copy()
    ours[4] += 1
    result = one(Tensor(ours, 0.1, 3), Tensor(theirs)).result()
    assert not result.exact and result.max_diff == 1 and result.unit == "steps" and result.sqnr_db == pytest.approx(30)


def test_integers_against_reals_and_other_scales() -> None:
    q = np.arange(-20, 20, dtype=np.int8)
    real = (q.astype(np.float32) - 5) * np.float32(0.25)
    result = one(Tensor(q, 0.25, 5), Tensor(real)).result()
    assert result.exact and result.unit == "reals"
    other = one(Tensor(q, 0.25, 5), Tensor((2 * (q.astype(np.int16) - 5)).astype(np.int8), 0.125, 0)).result()
    assert other.exact and other.unit == "reals"


@pytest.mark.parametrize("shape", [(1, 3, 5, 4), (1, 4, 4, 4), (1, 7, 1, 1)])
def test_channels_first_sources(shape: tuple[int, ...]) -> None:
    print("seed", SEED)
    theirs = np.random.default_rng(SEED).standard_normal(shape).astype(np.float32)
    assert one(Tensor(theirs.transpose(0, 2, 3, 1).copy()), Tensor(theirs)).result().exact
    assert one(Tensor(theirs), Tensor(theirs)).result().exact
    assert one(Tensor(theirs.transpose(0, 2, 3, 1).reshape(1, -1)), Tensor(theirs)).result().exact
    assert not Accumulator().add(Tensor(theirs[:, 1:]), Tensor(theirs))


def test_infinities_and_nan() -> None:
    odd = np.float32([1, np.inf, -np.inf, np.nan])
    assert one(Tensor(odd), Tensor(odd)).result().exact
    result = one(Tensor(odd), Tensor(np.float32([1, 2, 3, 4]))).result()
    assert not result.exact and result.sqnr_db is None and result.max_diff is None


def test_argmax_agreement_counts_samples() -> None:
    accumulator = Accumulator()
    for place in (0, 1, 1, 1):
        ours, theirs = np.zeros((1, 3), np.float32), np.zeros((1, 3), np.float32)
        ours[0, 1] = theirs[0, place] = 1
        accumulator.add(Tensor(ours), Tensor(theirs))
    assert (accumulator.agreements, accumulator.samples) == (3, 4)
