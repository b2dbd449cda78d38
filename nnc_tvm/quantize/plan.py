"""Which tensors are rounded to int8: where the patterns of the integer graph want a quantize and nowhere else.

- A contraction takes integers, so what it reads is rounded, whoever made it. Its bias and a clamp behind it are part of it.
- Sums, products, pooling, softmax, concatenation and resizing are computed on integers when all they read is rounded anyway.
- A chain of element-wise functions of one tensor is one table: nothing inside it is rounded.
- Data movement and max pooling keep the integers, so a tensor shares the quantization of what it was moved from.
- Sums that nothing takes as integers stay float (`left_float.py`).
- Everything else (layer normalization, gathers, ...) stays float, and so do tensors that nothing above reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import tvm

from nnc_tvm.quantize.contraction import CONTRACTIONS, contraction_of
from nnc_tvm.quantize.left_float import left_float
from nnc_tvm.quantize.patterns import ARITHMETIC, POOLING, Patterns, is_float
from nnc_tvm.relay_passes.graph import operands, operator_name

Expr = Any
# outputs whose range is known: the 8-bit specification of TFLite fixes it. The weights of an attention over many tokens stay far below theirs
KNOWN_RANGES = {"relax.nn.softmax": (0.0, 255 / 256), "relax.sigmoid": (0.0, 255 / 256), "relax.tanh": (-1.0, 127 / 128)}
DECISIONS = frozenset({"relax.nn.softmax", "relax.nn.log_softmax"})


def normalizes_features(call: Expr) -> bool:
    """Whether a mean is over the last axis alone: the statistics of a layer normalization written out, which 8 bits cannot hold."""
    if operator_name(call) != "relax.mean" or call.attrs.axis is None:
        return False
    rank = len(call.args[0].ty.shape)
    return [int(a) % rank for a in call.attrs.axis] == [rank - 1]


def has_integer_form(call: Expr) -> bool:
    """Whether a call is a contraction that can be computed on integers: by constant weights, or a product of two matrices."""
    if operator_name(call) == "relax.matmul":
        return all(len(a.ty.shape) >= 2 for a in call.args)
    return contraction_of(call) is not None


@dataclass(frozen=True, eq=False)
class Point:
    """A tensor that is rounded to int8. shares: the point whose scale and zero point it has, None for its own.

    known: its range where that is fixed, None where it is observed. observed: whether what it is seen to reach counts where that is less than half of it.
    """

    variable: Expr
    shares: Expr | None
    known: tuple[float, float] | None
    observed: bool = False


class Plan(Patterns):
    """The points of a function, in order. kept_float: contractions (the variables they are bound to) that are not computed on integers."""

    def __init__(self, module: tvm.IRModule, kept_float: Iterable[Expr] = ()) -> None:
        super().__init__(module)
        self.kept_float = frozenset(kept_float)

    @cached_property
    def demanded(self) -> set[Expr]:
        """Tensors that contractions read, moved or not."""
        found: set[Expr] = set()
        for variable, call in self.graph.definitions.items():
            if has_integer_form(call) and variable not in self.kept_float and is_float(variable):
                found.update(self.moved_from(v) for v in operands(call))
        return found

    def roots(self, points: set[Expr]) -> dict[Expr, Expr]:
        """Variable inside a chain -> the one tensor that the chain is a function of. Chains begin anew at points."""
        found: dict[Expr, Expr] = {}
        for variable in self.graph.definitions:
            if variable in self.absorbed or variable in self.pattern_ends or self.chain_operand(variable) is None:
                continue
            sources = {v if v in points else found.get(v, v) for v in operands(self.call(variable))}
            if len(sources) == 1:
                found[variable] = next(iter(sources))
        return found

    @cached_property
    def chains(self) -> tuple[dict[Expr, Expr], set[Expr]]:
        """(roots, the tensors of chains that something outside their chain reads)."""
        outside: set[Expr] = set()
        while True:
            roots = self.roots(outside)
            needed = {v for v in roots if v in self.results or v in self.demanded or any(roots.get(w) not in (roots[v], v) for w in self.readers.get(v, ()))}
            if needed <= outside:
                return roots, outside
            outside |= needed

    @cached_property
    def integers(self) -> set[Expr]:
        """Tensors that can be had as int8 without a rounding that the float model would miss."""
        return self.closure(self.left_float)

    @cached_property
    def left_float(self) -> set[Expr]:
        """Sums that nothing takes as integers."""
        return left_float(self, self.closure(set()))

    def closure(self, excluded: set[Expr]) -> set[Expr]:
        """Tensors that need no rounding of their own to be int8: the inputs, what contractions read and make, and what follows; without those `excluded`."""
        roots, _ = self.chains
        found = {p for p in self.graph.function.params if is_float(p)}
        for variable, call in self.graph.definitions.items():
            if not is_float(variable) or variable in excluded:
                continue
            if variable in self.demanded or has_integer_form(call):
                found.add(variable)
            elif variable in roots:
                found.update({variable} if roots[variable] in found else ())
            elif self.takes_integers(variable, call) and operands(call) and all(v in found for v in operands(call)):
                found.add(variable)
        return found

    def takes_integers(self, variable: Expr, call: Expr) -> bool:
        name = operator_name(call)
        if variable in self.pattern_ends or self.is_movement(variable) or name in ARITHMETIC or name in ("relax.concat", "relax.image.resize2d"):
            return True
        rank = len(variable.ty.shape)
        return (name in POOLING and not normalizes_features(call)) or (name == "relax.nn.softmax" and int(call.attrs.axis) % rank == rank - 1)

    @cached_property
    def points(self) -> dict[Expr, Point]:
        roots, outside = self.chains
        chosen: list[Expr] = []
        for variable in [*self.graph.function.params, *self.graph.definitions]:
            if variable not in self.integers or variable in self.absorbed or self.is_movement(variable) or (variable in roots and variable not in outside):
                continue
            needed = any(self.reads_integers(w) for w in self.through_movement(self.readers.get(variable, ())))
            is_contraction = has_integer_form(self.call(self.core(variable)))
            makes_integers = variable in self.graph.definitions and not is_contraction and not self.is_float_operator(variable)
            if needed or makes_integers:
                chosen.append(variable)
        return {v: Point(v, self.shared(v, set(chosen)), self.known_range(v), self.weighs(v)) for v in chosen}

    def is_float_operator(self, variable: Expr) -> bool:
        """Whether the tensor is made in float whatever happens: it is rounded only for its readers."""
        roots, _ = self.chains
        if variable in self.left_float:
            return True
        core = self.core(variable)
        read = operands(self.call(core))
        if variable in roots:
            return roots[variable] not in self.integers
        return not (self.takes_integers(core, self.call(core)) and all(v in self.integers for v in read))

    def reads_integers(self, variable: Expr) -> bool:
        """Whether the operator of `variable` is computed on integers."""
        if has_integer_form(self.call(variable)):
            return variable not in self.kept_float
        return not self.is_float_operator(variable)

    def known_range(self, variable: Expr) -> tuple[float, float] | None:
        return KNOWN_RANGES.get(operator_name(self.call(variable)))

    def weighs(self, variable: Expr) -> bool:
        """Whether a tensor is a softmax that contractions alone read: the weights of an attention."""
        readers = self.through_movement(self.readers.get(variable, ()))
        is_softmax = operator_name(self.call(variable)) == "relax.nn.softmax" and variable not in self.results
        return is_softmax and all(operator_name(self.call(w)) in CONTRACTIONS for w in readers)

    def shared(self, variable: Expr, points: set[Expr]) -> Expr | None:
        """Resizing keeps the scale of its input; what only a concatenation reads is on the concatenation's scale."""
        if operator_name(self.call(variable)) == "relax.image.resize2d":
            source = self.moved_from(self.call(variable).args[0])
            return source if source in points else None
        if self.known_range(variable) is not None:
            return None
        reader = self.sole_reader(variable)
        while reader is not None and self.is_movement(reader):
            reader = self.sole_reader(reader)
        return reader if reader in points and operator_name(self.call(reader)) == "relax.concat" else None

    def decides(self, variable: Expr) -> bool:
        """Whether the largest values of a tensor are what the network says: its outputs, and what a softmax reads."""
        readers = self.through_movement(self.readers.get(variable, ()))
        moved = {variable, *(v for v in self.graph.definitions if self.is_movement(v) and self.moved_from(v) == variable)}
        return bool(moved & self.results) or any(operator_name(self.call(w)) in DECISIONS for w in readers)

    def contractions(self) -> list[Expr]:
        """The variables that integer contractions are bound to, in order."""
        return [v for v, call in self.graph.definitions.items() if contraction_of(call) is not None and v not in self.kept_float and is_float(v)]
