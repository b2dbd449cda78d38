"""Contractions in plain loops, for packages of C source: the compiler that builds them makes vectors of the channels."""

from __future__ import annotations

from typing import Any

from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.isa import DotProduct, Tile


def emit_loops(tile: Tile, x: Any, w: Any, acc: Any) -> None:
    """One element of a pixel times the weights of all channels of a vector."""
    dtype, lanes = str(acc.dtype), int(acc.shape[-1])
    with T.grid(tile.steps, tile.pixels, tile.vectors, lanes) as (u, p, v, lane):
        T.buffer_store(acc, acc[p, v, lane] + T.Cast(dtype, x[p * tile.stride + u]) * T.Cast(dtype, w[u, v, 0, lane, 0]), [p, v, lane])


FEATURES = frozenset({"portable"})
TILES = {1: 8, 2: 4}

INTEGER = (
    DotProduct("loops", FEATURES, "int8", "int8", "int32", lanes=8, depth=1, tiles=TILES, cost=(2, 1, 1), emit=emit_loops, weight_low=-128, weight_high=127),
    DotProduct("loops_16", FEATURES, "int8", "int16", "int32", lanes=8, depth=1, tiles=TILES, cost=(2, 1, 1.1), emit=emit_loops, weight_low=-(2**15),
               weight_high=2**15 - 1),
)
FLOAT = (DotProduct("loops", FEATURES, "float32", "float32", "float32", lanes=8, depth=1, tiles=TILES, cost=(2, 1, 1), emit=emit_loops),)
