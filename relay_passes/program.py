"""The integer graph after the passes: layers in execution order over named values. Every backend and the reference read this."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from nnc_tvm.schedules.candidates import Candidate, Selection
from nnc_tvm.schedules.operators import Operator, TensorType
from nnc_tvm.schedules.quantization import Mode
from nnc_tvm.schedules.rule import Stage


@dataclass(frozen=True)
class Value:
    """A tensor. `scale` and `zero_point` say what its integers mean; None for float and unquantized tensors."""

    name: str
    type: TensorType
    scale: float | None = None
    zero_point: int | None = None


@dataclass(frozen=True, eq=False)
class Layer:
    """One operator applied to values. name: the source model's name for the node, or one made from the operator.

    note: for people, why the layer is what it is ("no integer form: Erf"). form: of its weights, see schedules/forms.py.
    instead: what else it could have been before it was scheduled.
    """

    name: str
    operator: Operator
    inputs: tuple[str, ...]
    output: str
    note: str = ""
    form: str = "dense"
    instead: tuple[Candidate, ...] = ()


@dataclass(frozen=True, eq=False)
class Program:
    """inputs, outputs: value names in the model's order. constants: arrays that layers read as inputs (not weights)."""

    values: dict[str, Value]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    layers: tuple[Layer, ...]
    requantize: Mode
    constants: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ScheduledLayer:
    """A layer with the kernels a target computes it by; () for a Reshape, which is an alias of its input.

    selection: of its form, where there were several.
    """

    layer: Layer
    stages: tuple[Stage, ...]
    selection: Selection | None = None

    @property
    def form(self) -> str:
        """Of the weights, "" where there are none; channels may be removed from a layer of any form."""
        operator, taken = self.layer.operator, self.selection.taken.form if self.selection else "dense"
        if not (operator.macs and operator.weight_bytes):
            return ""
        return " ".join(form for form in (self.layer.form, taken) if form != "dense") or "dense"


@dataclass(frozen=True, eq=False)
class ScheduledProgram:
    """What packaging starts from."""

    program: Program
    layers: tuple[ScheduledLayer, ...]
