"""Results of kernels on planes of pixels: requantized as wide as accumulators are, and finished as wide as the CPU narrows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.arithmetic import Arithmetic
from nnc_tvm.schedules.epilogue import finish, requantize
from nnc_tvm.schedules.rules.contraction_plan import Contraction

NARROW = 16  # pixels of vectors of four: NEON narrows eight at a time, and stores two such halves


def store_pixels(c: Contraction, arithmetic: Arithmetic, element: Callable[[int, Any], Any], shape: tuple[int, int], values: Sequence[Any], y: Any,
                 start: Any) -> None:
    """y[start + v * lanes + lane] = the result of accumulator element(v, lane), for shape = (vectors, lanes). values: an output channel's parameters."""
    vectors, lanes = shape
    dtype = str(y.dtype)
    width = math.gcd(vectors * lanes, NARROW) if dtype == "int8" and lanes < NARROW // 2 else lanes
    for first in range(0, vectors * lanes, width):
        held = T.sblock_alloc_buffer((width,), "int16" if dtype == "int8" else dtype, scope="local")
        for v in range(first // lanes, (first + width) // lanes):
            with T.vectorized(lanes) as lane:
                T.buffer_store(held, requantize(c.epilogue, element(v, lane), list(values), arithmetic), [v * lanes - first + lane])
        with T.vectorized(width) as lane:
            T.buffer_store(y, finish(c.epilogue, held[lane], arithmetic), [start + first + lane])
