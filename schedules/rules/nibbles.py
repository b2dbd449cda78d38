"""Weights of 4 bits, two in a byte.

Byte `lane` of the k-th vector of `lanes` bytes holds weight 2 * k * lanes + lane in its low half and weight (2 * k + 1) * lanes + lane in its
high half, each plus 8: both halves of a vector are vectors of neighbours.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

LOW, HIGH = -8, 7
UNPACK_COST = 0.2  # estimated instructions per weight, stored
REGISTER_COST = 2.5  # estimated instructions per vector of weights, beside a load


def fit(weight: np.ndarray) -> bool:
    """Whether all weights are integers of 4 bits."""
    return weight.dtype.kind != "f" and weight.min(initial=0) >= LOW and weight.max(initial=0) <= HIGH


def pack(weight: np.ndarray, lanes: int) -> np.ndarray:
    """(N, K) integers within [LOW, HIGH] as uint8 (N, bytes), zeros behind K up to whole vectors."""
    full = np.pad(weight, ((0, 0), (0, -weight.shape[1] % (2 * lanes))))
    halves = (full - LOW).astype(np.uint8).reshape(len(full), -1, 2, lanes)
    return np.ascontiguousarray((halves[:, :, 0] | halves[:, :, 1] << 4).reshape(len(full), -1))


def half_of(both: Any, half: int, lanes: int) -> Any:
    """The weights, int8, in the low (0) or high (1) halves of a vector of bytes."""
    nibble = T.shift_right(both, T.broadcast(T.uint8(4), lanes)) if half else T.bitwise_and(both, T.broadcast(T.uint8(15), lanes))
    return T.Cast(f"int8x{lanes}", nibble) + T.broadcast(T.int8(LOW), lanes)


def emit_unpack(packed: Any, row: Any, weights: Any, lanes: int) -> None:
    """Emits a loop: row `row` of `packed` as elements of `weights` (K,), an integer buffer, whole vectors."""
    vectors = int(weights.shape[0]) // (2 * lanes)
    unrolled = math.gcd(vectors, 4)
    with T.serial(vectors // unrolled) as k:
        for u, half in product(range(unrolled), (0, 1)):
            vector = k * unrolled + u
            values = half_of(packed.vload([row, vector * lanes], f"uint8x{lanes}"), half, lanes)
            T.buffer_store(weights, T.Cast(f"{weights.dtype}x{lanes}", values), [T.ramp((2 * vector + half) * lanes, 1, lanes)])


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
