"""From the canonical Relax module to the integer graph: each group of bindings that a pattern takes becomes one layer.

Patterns are tried from the results backwards, so that the widest group wins; what no pattern takes is moved data, or a float operator
computed by the kernel that TVM legalizes it to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tvm

from nnc_tvm.errors import Unsupported
from nnc_tvm.relay_passes.composites import MATCHERS, Match
from nnc_tvm.relay_passes.float_notes import note_floats
from nnc_tvm.relay_passes.graph import Graph, constant, operands, operator_name, tensor_type, variables
from nnc_tvm.relay_passes.layer_names import passed_on_names
from nnc_tvm.relay_passes.movement import lower_movement
from nnc_tvm.relay_passes.moves import MOVEMENT
from nnc_tvm.relay_passes.primitive import lower_primitive
from nnc_tvm.relay_passes.program import Layer, Program, Value
from nnc_tvm.relay_passes.qdq import dequantized_constant, quantization_of
from nnc_tvm.schedules.operators.primitive import Primitive
from nnc_tvm.schedules.quantization import Mode

Expr = Any
MOVED = MOVEMENT | {"relax.concat", "relax.nn.pad"}


class Lowering:
    """State of one lowering. names: variable -> the value it lives in."""

    def __init__(self, module: tvm.IRModule, mode: Mode) -> None:
        self.module, self.graph, self.mode = module, Graph(module["main"]), mode
        self.matches: dict[Any, Match] = {}
        self.needed: set[Any] = set()

    def choose(self) -> None:
        """Finds the groups, from the results backwards over what is needed."""
        self.needed.update(v for r in self.graph.results() for v in variables(r))
        for variable in reversed(list(self.graph.definitions)):
            value = self.graph.definitions[variable]
            if variable not in self.needed or dequantized_constant(value) is not None:
                continue
            match = next((m for m in (matcher(self.graph, variable, self.mode) for matcher in MATCHERS) if m), None) if operator_name(value) else None
            if match is not None:
                self.matches[variable] = match
            self.needed.update(v for x in (match.inputs if match else [value]) for v in variables(x))

    def program(self) -> Program:
        self.choose()
        names: dict[Any, str] = {}
        values: dict[str, Value] = {}
        constants: dict[str, np.ndarray] = {}
        layers: list[tuple[Layer, Sequence[Expr]]] = []
        scales, known_names = self.scales(), passed_on_names(self.graph)

        def value_of(expr: Expr) -> str:
            if expr in names:
                return names[expr]
            array = constant(self.graph.definition(expr))
            if array is None:
                array = dequantized_constant(self.graph.definition(expr))
                assert array is not None, f"'{expr}' is read before it is computed"
            name = f"constant_{len(constants)}"
            constants[name], values[name] = array, Value(name, tensor_type(expr))
            if isinstance(expr, tvm.ir.Var):
                names[expr] = name
            return name

        def define(variable: Expr, base: str) -> str:
            name = base
            while name in values:
                name += "_"
            values[name] = Value(name, tensor_type(variable), *scales.get(variable, (None, None)))
            names[variable] = name
            return name

        inputs = tuple(define(p, p.name) for p in self.graph.function.params)
        counts: dict[str, int] = {}
        for variable, value in self.graph.definitions.items():
            if variable not in self.needed or dequantized_constant(value) is not None or not operator_name(value):
                if isinstance(value, tvm.ir.Var) and variable in self.needed:
                    names[variable] = value_of(value)
                continue
            match = self.matches.get(variable) or lower_movement(self.graph, variable) or lower_primitive(self.graph, variable, self.module)
            if match is None:
                shapes = ", ".join(f"{t.dtype}{list(t.shape)}" for t in map(tensor_type, variables(value)))
                kind = operator_name(value).removeprefix("relax.")
                raise Unsupported(f"'{variable.name}': there is no kernel for {kind} of {shapes}; replace it or cut the model before it")
            kind = match.operator.name if isinstance(match.operator, Primitive) else match.operator.kind
            counts[kind] = counts.get(kind, 0) + 1
            read = tuple(value_of(x) for x in match.inputs)
            name = known_names.get(variable) or f"{kind}_{counts[kind]}"
            layers.append((Layer(name, match.operator, read, define(variable, name)), match.covered))
        outputs = tuple(value_of(r) for r in self.graph.results())
        return Program(values, inputs, outputs, note_floats(self.graph, layers), self.mode, constants)

    def scales(self) -> dict[Any, tuple[float, int]]:
        """(scale, zero point) of integer variables, from the quantize that makes them, a dequantize that reads them or the tensors they are moved from."""
        found: dict[Any, tuple[float, int]] = {}
        for variable, value in self.graph.definitions.items():
            q = quantization_of(value)
            if q is not None and q.per_tensor:
                integer = variable if operator_name(value) == "relax.quantize" else value.args[0]
                if isinstance(integer, tvm.ir.Var):
                    found[integer] = q.scalar()
            elif operator_name(value) in MOVED and variable not in found:
                sources = [found.get(v) for v in operands(value)]
                if sources and sources[0] is not None and sources.count(sources[0]) == len(sources):
                    found[variable] = sources[0]
        return found


def lower_composites(module: tvm.IRModule, mode: Mode) -> Program:
    """The pass: canonical IRModule -> Program. Raises Unsupported naming what has no kernel."""
    return Lowering(module, mode).program()
