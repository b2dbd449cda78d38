"""256-entry look-up tables."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import s_tir, te, tirx

from nnc_tvm.schedules.intrin.neon_table import table_in_registers
from nnc_tvm.schedules.operators import Operator, Table
from nnc_tvm.schedules.rule import Choose, Stage


def stages(operator: Operator, target: Any, choose: Choose) -> tuple[Stage, ...] | None:
    """The rule for Table: byte tables in registers where the CPU has `tbl`, one load per element elsewhere."""
    if not isinstance(operator, Table):
        return None
    total = operator.output.elements
    in_registers = "neon" in target.features and operator.output.dtype == "int8" and total >= 16
    function = table_in_registers(total) if in_registers else one_by_one(total, operator.output.dtype, choose)
    reusable = (0,) if operator.output.bytes == total else ()
    # the element's bits as an unsigned number are its index: the table is stored rotated by half
    constants = (np.roll(operator.table, 128),)
    return (Stage(function.without_attr("tirx.noalias"), (0,), constants, operator.output, "tbl" if in_registers else "look-up", reusable),)


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
