"""The fallback: an operator given by its loops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nnc_tvm.schedules.operators.operator import Operator

if TYPE_CHECKING:
    import tvm


@dataclass(frozen=True, eq=False)
class Primitive(Operator):
    """Whatever `function` computes: what has no form of its own among the operators (exp, erf, layer normalization, softmax on floats, ...).

    function: unscheduled PrimFunc with buffer parameters inputs..., output and constant shapes, as relax.transform.LegalizeOps
    makes it. name: the operation's name, for people.
    """

    function: tvm.tirx.PrimFunc
    name: str
