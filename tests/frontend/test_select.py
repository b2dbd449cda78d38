from __future__ import annotations

import numpy as np
import pytest

from nnc_tvm.frontend.select import evenly_spaced


@pytest.mark.parametrize(("indices", "runs"), [
    ([2], [(2, 3, 1)]), ([0, 1, 2], [(0, 3, 1)]), ([1, 3, 5], [(1, 6, 2)]), ([2, 0, 1], [(2, 3, 1), (0, 2, 1)]), ([3, 3], [(3, 4, 1), (3, 4, 1)]),
])
def test_runs(indices: list[int], runs: list[tuple[int, int, int]]) -> None:
    found = evenly_spaced(np.array(indices))
    assert found == runs
    assert [i for b, e, s in found for i in range(b, e, s)] == indices
