"""Arithmetic modulo 2^16 and 2^32 on expressions; plain on floats.

TVM tells LLVM that int32 sums never overflow. In 64 bits and cut off again they may; LLVM turns that back into 32-bit instructions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import tirx


@dataclass(frozen=True)
class Modular:
    """An int16, int32 or float32 expression, scalar or vector, whose integer sums, differences and products wrap around; they keep its type."""

    value: Any

    def __add__(self, other: Modular) -> Modular:
        return self.narrow(self.wide() + other.wide())

    def __sub__(self, other: Modular) -> Modular:
        return self.narrow(self.wide() - other.wide())

    def __mul__(self, factor: int) -> Modular:
        wide = self.wide()
        return self.narrow(wide * tirx.const(factor, str(wide.ty)))

    def wide(self) -> Any:
        """The expression in a type whose arithmetic LLVM may not assume anything of."""
        return self.value.astype(str(self.value.ty).replace("int32", "int64"))

    def narrow(self, value: Any) -> Modular:
        """The low bits of what was computed in the type of `wide`."""
        return Modular(value.astype(str(self.value.ty)))
