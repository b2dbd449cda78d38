"""How the operators of a float function go together: movement between them, and the biases and clamps that end their patterns."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import tvm
from tvm import relax

from nnc_tvm.quantize.contraction import CONTRACTIONS, contraction_of
from nnc_tvm.relay_passes.composites.match import clamp_bounds, clamp_operand, scalar
from nnc_tvm.relay_passes.composites.table import SEVERAL, UNARY
from nnc_tvm.relay_passes.graph import Graph, constant, operands, operator_name, variables
from nnc_tvm.relay_passes.layer_names import passed_on_names
from nnc_tvm.relay_passes.moves import MOVEMENT

Expr = Any
ARITHMETIC = frozenset({"relax.add", "relax.subtract", "relax.multiply"})
POOLING = frozenset({"relax.nn.avg_pool2d", "relax.mean"})
# ends of a pattern whose clamp is applied before rounding
CLAMPED = CONTRACTIONS | ARITHMETIC | POOLING


def is_float(variable: Expr) -> bool:
    return isinstance(variable.ty, relax.TensorType) and str(variable.ty.dtype) == "float32"


def adds_bias(call: Expr, inner: Expr) -> bool:
    """Whether `call` adds one constant per channel to a contraction, `inner`."""
    contraction = contraction_of(inner)
    if contraction is None or operator_name(call) != "relax.add":
        return False
    values = [value for value in map(constant, call.args) if value is not None]
    return bool(values) and contraction.channel_vector(values[0]) is not None


class Patterns:
    """graph: of the function. results: what it returns. readers: of every variable, the variables whose values read it."""

    def __init__(self, module: tvm.IRModule) -> None:
        self.graph = Graph(module["main"])
        self.results = {v for r in self.graph.results() for v in variables(r)}
        self.readers: dict[Expr, list[Expr]] = {}
        for variable, value in self.graph.definitions.items():
            for v in variables(value) if not isinstance(value, relax.Tuple) else ():  # the tuple of the results computes nothing
                self.readers.setdefault(v, []).append(variable)

    def call(self, variable: Expr) -> Expr:
        return self.graph.definition(variable)

    def moved_from(self, variable: Expr) -> Expr:
        """What a tensor was moved from, without arithmetic."""
        while self.is_movement(variable):
            variable = self.call(variable).args[0]
        return variable

    def is_movement(self, variable: Expr) -> bool:
        call = self.call(variable)
        name = operator_name(call)
        return (name in MOVEMENT or (name == "relax.nn.pad" and float(call.attrs.pad_value) == 0)) and isinstance(call.args[0], tvm.ir.Var)

    def sole_reader(self, variable: Expr) -> Expr | None:
        readers = self.readers.get(variable, [])
        return readers[0] if len(readers) == 1 and variable not in self.results else None

    def through_movement(self, readers: Iterable[Expr]) -> list[Expr]:
        """The readers that compute something: of what is moved, those of the result."""
        found: list[Expr] = []
        for w in readers:
            found += self.through_movement(self.readers.get(w, ())) if self.is_movement(w) else [w]
        return found

    @cached_property
    def absorbed(self) -> dict[Expr, Expr]:
        """Tensors that never exist on their own -> the bias addition or clamp that ends their pattern (one step)."""
        found: dict[Expr, Expr] = {}
        for variable, call in self.graph.definitions.items():
            reader = self.sole_reader(variable)
            if reader is None or not is_float(variable):
                continue
            after = self.call(reader)
            is_clamp = clamp_bounds(after) is not None and clamp_operand(after).same_as(variable)
            if adds_bias(after, call) or (is_clamp and self.is_pattern(variable, found)):
                found[variable] = reader
        return found

    def is_pattern(self, variable: Expr, absorbed: dict[Expr, Expr]) -> bool:
        """Whether `variable` ends a pattern that a clamp can join; `absorbed` as far as it is known."""
        if variable in absorbed.values():
            return True
        name = operator_name(self.call(variable))
        return name in CLAMPED and not (name in ARITHMETIC and len(set(operands(self.call(variable)))) == 1 and self.chain_operand(variable) is not None)

    @cached_property
    def pattern_ends(self) -> frozenset[Expr]:
        return frozenset(self.absorbed.values())

    def core(self, variable: Expr) -> Expr:
        """The operator at the beginning of a pattern that ends at `variable`."""
        sources = {end: begin for begin, end in self.absorbed.items()}
        while variable in sources:
            variable = sources[variable]
        return variable

    def end(self, variable: Expr) -> Expr:
        """The end of the pattern that `variable` is part of."""
        while variable in self.absorbed:
            variable = self.absorbed[variable]
        return variable

    def names(self, variable: Expr) -> list[str]:
        """What the layer of a contraction may be called: the model's names of its tensors, from the product to the end of its pattern."""
        known, found = passed_on_names(self.graph), [variable]
        while found[-1] in self.absorbed:
            found.append(self.absorbed[found[-1]])
        return [name for v in found if (name := known.get(v))] or [str(found[-1].name)]

    def chain_operand(self, variable: Expr) -> Expr | None:
        """Any tensor that `variable` is an element-wise function of, with scalars; None where it is none."""
        call = self.call(variable)
        name = operator_name(call)
        if name not in UNARY and name not in SEVERAL and clamp_bounds(call) is None:
            return None
        read = operands(call)
        shape = [int(d) for d in variable.ty.shape]
        if not read or any([int(d) for d in v.ty.shape] != shape for v in read if isinstance(v.ty, relax.TensorType)):
            return None
        return read[0] if all(isinstance(a, tvm.ir.Var) or scalar(a) is not None for a in call.args) else None
