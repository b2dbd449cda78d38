"""Weights of 4 bits, two in a byte.

Byte `lane` of the k-th vector of `lanes` bytes holds weight 2 * k * lanes + lane in its low half and weight (2 * k + 1) * lanes + lane in its
high half, each plus 8: both halves of a vector are vectors of neighbours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

LOW, HIGH = -8, 7
UNPACK_COST = 0.3  # estimated instructions per weight


def fit(weight: np.ndarray) -> bool:
    """Whether all weights are integers of 4 bits."""
    return weight.dtype.kind != "f" and weight.min(initial=0) >= LOW and weight.max(initial=0) <= HIGH


def pack(weight: np.ndarray, lanes: int) -> np.ndarray:
    """(N, K) integers within [LOW, HIGH] as uint8 (N, bytes), zeros behind K up to whole vectors."""
    full = np.pad(weight, ((0, 0), (0, -weight.shape[1] % (2 * lanes))))
    halves = (full - LOW).astype(np.uint8).reshape(len(full), -1, 2, lanes)
    return np.ascontiguousarray((halves[:, :, 0] | halves[:, :, 1] << 4).reshape(len(full), -1))


def emit_unpack(packed: Any, row: Any, weights: Any, lanes: int) -> None:
    """Emits a loop: row `row` of `packed` as elements of `weights` (K,), an integer buffer, whole vectors."""
    with T.serial(int(weights.shape[0]) // (2 * lanes)) as k:
        for half in (0, 1):
            with T.vectorized(lanes) as lane:
                both = packed[row, k * lanes + lane]
                nibble = T.shift_right(both, T.uint8(4)) if half else T.bitwise_and(both, T.uint8(15))
                T.buffer_store(weights, T.Cast(weights.dtype, T.Cast("int8", nibble) + T.int8(LOW)), [(2 * k + half) * lanes + lane])


def unpack_kernel(count: int, dtype: str, lanes: int) -> Any:
    """PrimFunc (packed uint8 (1, count / 2), weights (count,) of `dtype`); count is a multiple of 2 * lanes."""
    with IRBuilder() as builder:
        with T.prim_func(s_tir=True):
            T.func_attr({"tirx.noalias": True})
            packed = T.arg("packed", T.buffer((1, count // 2), "uint8"))
            weights = T.arg("weights", T.buffer((count,), dtype))
            with T.sblock("unpack"):
                T.reads()
                T.writes()
                emit_unpack(packed, 0, weights, lanes)
        return builder.get()
