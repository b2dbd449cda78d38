"""Resizing on every CPU against the oracle."""

from __future__ import annotations

import numpy as np
import pytest

from nnc_tvm.schedules.operators import Operator, ResizeBilinear, ResizeNearest, TensorType
from nnc_tvm.schedules.quantization import Epilogue, FloatClamp, make_requantize
from nnc_tvm.schedules.rules import resize
from tests.kernels.cases import CPU_NAMES, CPUS, check, random_generator, target_of


def neighbours(extent: int, out: int) -> tuple[np.ndarray, np.ndarray]:
    """Two neighbours of each output and their weights in 1/1024, half-pixel centres."""
    position = np.clip((np.arange(out) + 0.5) * extent / out - 0.5, 0, extent - 1)
    low = np.floor(position).astype(np.int32)
    share = np.rint((position - low) * 1024).astype(np.int32)
    return np.stack([low, np.minimum(low + 1, extent - 1)], 1), np.stack([1024 - share, share], 1)


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_resize(cpu: tuple[str, str | None], dtype: str) -> None:
    rng = random_generator()
    cases: list[tuple[Operator, list[np.ndarray]]] = []
    for channels, (oh, ow) in ((1, (10, 9)), (3, (3, 12)), (17, (10, 9)), (64, (5, 12))):
        x, y = TensorType((2, 5, 6, channels), dtype), TensorType((2, oh, ow, channels), dtype)
        values = rng.integers(-128, 128, x.shape).astype(dtype)
        cases.append((ResizeNearest((x,), y, (np.arange(oh) * 5 // oh).astype(np.int32), (np.arange(ow) * 6 // ow).astype(np.int32)), [values]))
        (rows, row_weights), (columns, column_weights) = neighbours(5, oh), neighbours(6, ow)
        epilogues: list[Epilogue] = [FloatClamp()]
        if dtype == "int8":
            epilogues = [make_requantize("fixed", 1.1 * 2.0**-20, 4), make_requantize("float", 1.1 * 2.0**-20, 4)]
        else:
            row_weights, column_weights = (w.astype(np.float32) / 1024 for w in (row_weights, column_weights))
        for epilogue in epilogues:
            operator = ResizeBilinear((x,), y, rows, columns, row_weights, column_weights, 3 if dtype == "int8" else 0, epilogue)
            cases.append((operator, [values]))
    check(cases, resize.stages, target_of(cpu), tolerance=1e-6)
