"""Unary functions between two quantized tensors as one 256-entry table: any chain of them is one look-up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nnc_tvm.schedules.operators.operator import Operator


@dataclass(frozen=True, eq=False)
class Table(Operator):
    """y = table[x + 128].

    inputs: (x int8, any shape); output int8 (or float32), the same shape; table: (256,) of the output's dtype.
    """

    table: np.ndarray

    @property
    def weight_bytes(self) -> int:
        return int(self.table.nbytes)
