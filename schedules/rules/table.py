"""256-entry look-up tables."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import s_tir, te, tirx

from nnc_tvm.schedules.intrin.tables import LOOK_UPS, table_in_registers
from nnc_tvm.schedules.operators import Operator, Table
from nnc_tvm.schedules.rule import Choose, Stage


def stages(operator: Operator, target: Any, choose: Choose) -> tuple[Stage, ...] | None:
    """The rule for Table: byte tables in registers where there is a vector of elements, one load per element elsewhere."""
    if not isinstance(operator, Table):
        return None
    total = operator.output.elements
    # the element's bits as an unsigned number are its index: the table is stored rotated by half
    rotated = np.roll(operator.table, 128)
    by = next((by for by in LOOK_UPS if by.features <= target.features and by.lanes <= total), None) if operator.output.dtype == "int8" else None
    reusable = (0,) if operator.output.bytes == total else ()
    function = one_by_one(total, operator.output.dtype, choose) if by is None else table_in_registers(total, by)
    constant, name = (rotated, "look-up") if by is None else (by.arranged(rotated), by.name)
    return (Stage(function.without_attr("tirx.noalias"), (0,), (constant,), operator.output, name, reusable),)


def one_by_one(total: int, dtype: str, choose: Choose) -> Any:
    """A load per element."""
    x, table = te.placeholder((total,), "int8", name="x"), te.placeholder((256,), dtype, name="table")
    y = te.compute((total,), lambda i: table[tirx.reinterpret("uint8", x[i]).astype("int32")], name="y")
    sch = s_tir.Schedule(te.create_prim_func([x, table, y]))
    (loop,) = sch.get_loops(sch.get_sblock("y"))
    unroll = choose("unroll", [1, 2, 4, 8], 4)
    if total % unroll == 0:
        sch.unroll(sch.split(loop, [None, unroll])[1])
    return sch.mod["main"]
