"""Winograd's products from weights as they are: each row of points is multiplied while its weights are in registers.

A row of G w G' is three vectors combined from the kernel's rows, and from these the points of that row. They are used at once, for all tiles
of a register tile, whose accumulators hold a row of points.
"""

from __future__ import annotations

import math
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from nnc_tvm.schedules.isa import Tile
from nnc_tvm.schedules.modular import Modular
from nnc_tvm.schedules.operators.operator import ITEM_BYTES
from nnc_tvm.schedules.rules.winograd_plan import CACHE_LINE, WinogradPlan
from nnc_tvm.schedules.statements import store


def multiply_rows(plan: WinogradPlan, v: Any, weights: Any, m: Any, o: Any) -> None:
    """M of block o of the output channels, from weights as `WinogradPlan.packed_shape` has them; a tile has one vector."""
    isa = plan.isa
    with T.serial(plan.group // plan.tile.pixels) as g:
        for r in range(plan.form.points):
            sums = {s: T.sblock_alloc_buffer((tiles, 1, isa.lanes), isa.acc_dtype, scope="local") for s, tiles in tiles_of_row(plan, r).items()}
            every = [(s, acc, q) for s, acc in sums.items() for q in range(int(acc.shape[0]))]
            for _, acc, q in every:
                T.buffer_store(acc, T.broadcast(tirx.const(0, isa.acc_dtype), isa.lanes), [q, 0, T.ramp(0, 1, isa.lanes)])
            with T.serial(plan.steps) as k:
                if plan.ahead:
                    prefetch_block(plan, weights, (o, r, k))
                if sums:
                    multiply_step(plan, v, weights, sums, (o, g, r, k))
            for s, acc, q in every:
                place = (plan.numbers[r, s] * plan.group + g * plan.tile.pixels + q) * isa.lanes
                T.buffer_store(m, acc.vload([q, 0, 0], f"{isa.acc_dtype}x{isa.lanes}"), [T.ramp(place, 1, isa.lanes)])


def tiles_of_row(plan: WinogradPlan, r: int) -> dict[int, int]:
    """{s: tiles of a register tile that have the point (r, s)}, without those that none has."""
    tiles = {s: plan.tile.pixels if not plan.fits else plan.before(len(plan.kinds), (r, s)) for s in range(plan.form.points)}
    return {s: count for s, count in tiles.items() if count}


def prefetch_block(plan: WinogradPlan, weights: Any, place: tuple[Any, int, Any]) -> None:
    """Asks for a part of the weights that the next block reads, a line or more for every step of a row: the rows ask for all of them."""
    o, r, k = place
    step_bytes = ITEM_BYTES[str(weights.dtype)] * plan.form.taps**2 * math.prod(plan.step_shape)
    lines = math.ceil(step_bytes / CACHE_LINE / plan.form.points)
    for line in range(r * lines, min((r + 1) * lines, math.ceil(step_bytes / CACHE_LINE))):
        bytes_before = (o + 1) * plan.steps * step_bytes + (line * plan.steps + k) * CACHE_LINE
        element = bytes_before // ITEM_BYTES[str(weights.dtype)]
        T.evaluate(T.call_llvm_intrin("void", "llvm.prefetch.p0", T.address_of(weights[0, 0, 0, element]), 0, 2, 1))


def multiply_step(plan: WinogradPlan, v: Any, weights: Any, sums: dict[int, Any], place: tuple[Any, Any, int, Any]) -> None:
    """Adds to the sums of row r of the points what step k of the channels gives."""
    isa, form, (o, g, r, k) = plan.isa, plan.form, place
    lanes = isa.lanes * isa.depth
    dtype = f"{isa.w_dtype}x{lanes}"
    line = T.sblock_alloc_buffer((form.taps, lanes), isa.w_dtype, scope="local")
    points = [T.sblock_alloc_buffer((1, 1, 1, 1, lanes), isa.w_dtype, scope="local") for _ in range(form.points)]  # as instructions index weights
    for s in range(form.taps):
        column = [Modular(T.Cast(dtype, weights.vload([o, k, q * form.taps + s, 0], f"{weights.dtype}x{lanes}"))) for q in range(form.taps)]
        store(line, form.weight_transform(column)[r].value, s)
    values = form.weight_transform([Modular(line.vload([s, 0], dtype)) for s in range(form.taps)])
    for s, acc in sums.items():
        store(points[s], values[s].value, 0, 0, 0, 0)
        tiles = int(acc.shape[0])
        with T.sblock("step"):
            T.reads()
            T.writes()
            start = plan.numbers[r, s] * plan.pitch + g * plan.tile.pixels * plan.depth + k * isa.depth
            span = (tiles - 1) * plan.depth + isa.depth
            elements = T.match_buffer(v[start : start + span], (span,), isa.x_dtype, offset_factor=1)
            isa.emit(Tile(tiles, 1, 1, plan.depth), elements, points[s], acc)
