"""Weights of which at most N = 1 or 2 of every four neighbouring inputs are not zero: N values and N places of two bits for each four.

A panel is a row of fours. Of `lanes` fours, a chunk, the N values are N vectors of bytes; 4 / N chunks share a vector whose bits 2 * k are
the places of the k-th of their values. Unpacking makes a vector of each of the four inputs and interleaves them as the instruction wants.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import tirx
from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.isa import DotProduct

UNPACK_COST = 0.25  # estimated instructions per weight, zeros included, times n


def stretch_of(isa: DotProduct, vectors: int) -> int:
    """Fours whose first two inputs follow each other in a panel, before their last two do; 1 where all four are together. 0: neither."""
    outer, lanes, inner = isa.weight_shape
    if inner % 4 == 0:
        return 1
    if inner != 2:
        return 0
    return lanes if outer == 2 else vectors * lanes if outer == 1 else 0


def most(weight: np.ndarray) -> int:
    """The most weights of four inputs that are not zero; weight: (..., C), C a multiple of four."""
    return int((weight != 0).reshape(*weight.shape[:-1], -1, 4).sum(-1).max(initial=0))


def fours(panels: np.ndarray, stretch: int) -> np.ndarray:
    """Panels (P, K) as (P, K / 4, 4): the four inputs of each group together."""
    cut = panels.reshape(len(panels), -1, 2, stretch, 2) if stretch > 1 else panels.reshape(len(panels), -1, 2, 1, 2)
    return np.ascontiguousarray(cut.transpose(0, 1, 3, 2, 4)).reshape(len(panels), -1, 4)


def pack(groups: np.ndarray, n: int, lanes: int) -> np.ndarray:
    """(P, G, 4) int8 with at most n values a group as uint8 (P, bytes); G a multiple of lanes * 4 / n."""
    order = np.argsort(groups == 0, axis=-1, kind="stable")[..., :n]  # those that are not zero first
    values = in_chunks(np.take_along_axis(groups, order, -1).astype(np.int8).view(np.uint8), n, lanes)
    shifts = (2 * np.arange(4)).reshape(4 // n, n, 1)
    places = (in_chunks(order, n, lanes) << shifts).sum((2, 3)).astype(np.uint8)
    return np.ascontiguousarray(np.concatenate([values.reshape(*places.shape[:2], -1), places], -1)).reshape(len(groups), -1)


def in_chunks(parts: np.ndarray, n: int, lanes: int) -> np.ndarray:
    """(P, G, n) as (P, G * n / 4 / lanes, 4 / n, n, lanes)."""
    return parts.reshape(len(parts), -1, 4 // n, lanes, n).transpose(0, 1, 2, 4, 3)


def packed_bytes(count: int, n: int) -> int:
    """Of a panel of `count` weights."""
    return count // 4 * n + count // 16 * n


def emit_unpack(packed: Any, row: Any, panel: Any, n: int, lanes: int, stretch: int) -> None:
    """Row `row` of `packed` as elements of int8 `panel` (K,). lanes: dividing `stretch` or a multiple of it."""
    chunks = 4 // n
    with T.serial(int(panel.shape[0]) // (4 * lanes * chunks)) as k:
        start = k * (5 * lanes)
        for chunk in range(chunks):
            inputs = T.sblock_alloc_buffer((4, lanes), "int8", scope="local")
            values = [T.reinterpret(packed.vload([row, start + (chunk * n + i) * lanes], f"uint8x{lanes}"), dtype=f"int8x{lanes}") for i in range(n)]
            places = packed.vload([row, start + 4 * lanes], f"uint8x{lanes}")
            for j in range(4):
                parts = [tirx.Select(two_bits(places, chunk * n + i, lanes).equal(number(j, lanes)), value, T.broadcast(T.int8(0), lanes))
                         for i, value in enumerate(values)]
                T.buffer_store(inputs, parts[0] | parts[1] if n > 1 else parts[0], [j, T.ramp(0, 1, lanes)])
            emit_place(inputs, panel, k * chunks + chunk, lanes, stretch)


def two_bits(places: Any, k: int, lanes: int) -> Any:
    return T.bitwise_and(T.shift_right(places, number(2 * k, lanes)), number(3, lanes)) if k else T.bitwise_and(places, number(3, lanes))


def number(value: int, lanes: int) -> Any:
    return T.broadcast(T.uint8(value), lanes)


def emit_place(inputs: Any, panel: Any, chunk: Any, lanes: int, stretch: int) -> None:
    """Stores a chunk's four inputs (4, lanes) where the panel has them."""
    halves = T.sblock_alloc_buffer((2, 2 * lanes), "int8", scope="local")
    zipped = [i + lanes * odd for i in range(lanes) for odd in (0, 1)]
    for half in (0, 1):
        pair = [inputs.vload([2 * half + k, 0], f"int8x{lanes}") for k in (0, 1)]
        T.buffer_store(halves, T.Shuffle(pair, zipped), [half, T.ramp(0, 1, 2 * lanes)])
    both = [halves.vload([half, 0], f"int8x{2 * lanes}") for half in (0, 1)]
    if stretch >= lanes:
        first = chunk * lanes
        place = first // stretch * (4 * stretch) + first % stretch * 2
        for half in (0, 1):
            T.buffer_store(panel, both[half], [T.ramp(place + half * 2 * stretch, 1, 2 * lanes)])
        return
    order = [half * 2 * lanes + 2 * stretch * block + i for block in range(lanes // stretch) for half in (0, 1) for i in range(2 * stretch)]
    for part in (0, 1):
        T.buffer_store(panel, T.Shuffle(both, order[part * 2 * lanes : (part + 1) * 2 * lanes]), [T.ramp(chunk * (4 * lanes) + part * 2 * lanes, 1, 2 * lanes)])
