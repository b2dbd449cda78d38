"""Reading and rebuilding the dataflow graph of a Relax function: the few verbs that the passes share."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import tvm
from tvm import relax

from nnc_tvm.schedules.operators import TensorType

Expr = Any
Var = Any


def constant(expr: Expr) -> np.ndarray | None:
    """The array of a constant expression, None for anything else."""
    return expr.value.numpy() if isinstance(expr, tvm.ir.GenericConst) else None


def operator_name(expr: Expr) -> str:
    """"relax.nn.conv2d" for a call of that operator; "" for anything else."""
    if isinstance(expr, tvm.ir.Call) and isinstance(expr.op, tvm.ir.Op):
        return str(expr.op.name)
    return ""


def tensor_type(expr: Expr) -> TensorType:
    """Shape and dtype of a tensor-valued expression with a static shape."""
    return TensorType(tuple(int(d) for d in expr.ty.shape), str(expr.ty.dtype))


def variables(expr: Expr) -> Iterable[Var]:
    """The variables an expression reads, with repetition."""
    if isinstance(expr, tvm.ir.Var):
        yield expr
    elif isinstance(expr, relax.Tuple):
        for field in expr.fields:
            yield from variables(field)
    elif isinstance(expr, relax.TupleGetItem):
        yield from variables(expr.tuple_value)
    elif isinstance(expr, tvm.ir.Call):
        for argument in expr.args:
            yield from variables(argument)


def operands(call: Expr) -> list[Expr]:
    """The variables that a call reads."""
    return [v for a in getattr(call, "args", ()) for v in variables(a)]


def substitute(expr: Expr, replace: dict[Var, Expr]) -> Expr:
    """`expr` with variables replaced; untyped where something changed (the BlockBuilder types it again)."""
    if isinstance(expr, tvm.ir.Var):
        return replace.get(expr, expr)
    if isinstance(expr, relax.Tuple):
        return relax.Tuple([substitute(f, replace) for f in expr.fields])
    if isinstance(expr, relax.TupleGetItem):
        return relax.TupleGetItem(substitute(expr.tuple_value, replace), expr.index)
    if isinstance(expr, tvm.ir.Call):
        return call_with(expr, [substitute(a, replace) for a in expr.args])
    return expr


def call_with(call: Expr, arguments: list[Expr]) -> Expr:
    """`call` with other arguments."""
    return tvm.ir.Call(call.op, arguments, call.attrs, call.ty_args)


class Graph:
    """The bindings of a function whose body is one straight line.

    parameters: the function's. definitions: variable -> the expression bound to it, in order of execution. uses: how often a variable is
    read, the result included.
    """

    def __init__(self, function: relax.Function) -> None:
        self.function = function
        self.parameters = set(function.params)
        self.definitions: dict[Var, Expr] = {}
        for block in function.body.blocks:
            for binding in block.bindings:
                self.definitions[binding.var] = binding.value
        self.result = function.body.body
        self.uses: Counter[Var] = Counter()
        for value in self.definitions.values():
            self.uses.update(variables(value))
        self.uses.update(variables(self.result))

    def definition(self, expr: Expr) -> Expr:
        """What a variable is bound to; a parameter, constant or call itself."""
        return self.definitions.get(expr, expr) if isinstance(expr, tvm.ir.Var) else expr

    @cached_property
    def readers(self) -> dict[Var, set[str]]:
        """The names of the operators that read each variable; the result is not among them."""
        found: dict[Var, set[str]] = {}
        for value in self.definitions.values():
            for variable in variables(value):
                found.setdefault(variable, set()).add(operator_name(value))
        return found

    def results(self) -> list[Expr]:
        """The function's outputs in order."""
        result = self.definition(self.result)
        return list(result.fields) if isinstance(result, relax.Tuple) else [self.result]


# of bindings that passes add: BlockBuilder numbers them; a name of the source model is never taken from it
UNNAMED = "nnc_made"


class Rebuilder:
    """Builds a function anew from an old one; `values` maps old variables to their new expressions."""

    def __init__(self, graph: Graph, builder: relax.BlockBuilder) -> None:
        self.graph = graph
        self.builder = builder
        self.values: dict[Var, Expr] = {}
        self.made: dict[Var, Expr] = {}

    def emit(self, expr: Expr, name: str = "") -> Expr:
        """Binds a new expression; `definition` finds it again. Names of the source model are kept for what computes its tensors."""
        variable = self.builder.emit(expr, name_hint=name or UNNAMED)
        self.made[variable] = self.builder.lookup_binding(variable)
        return variable

    def definition(self, expr: Expr) -> Expr:
        """What a new variable is bound to."""
        return self.made.get(expr, expr) if isinstance(expr, tvm.ir.Var) else expr


@contextlib.contextmanager
def closing_blocks(builder: relax.BlockBuilder) -> Iterator[None]:
    """Ends the builder's open block when the body raises; TVM would print a warning about it on stderr."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):  # none is open where the function was not begun
            builder._end_block()
        raise


Visit = Callable[[Rebuilder, Var, Expr], Expr]


def rebuild(module: tvm.IRModule, visit: Visit, finish: Callable[[Rebuilder, Expr], Expr] | None = None,
            begin: Callable[[Rebuilder], None] = lambda rebuilder: None) -> tvm.IRModule:
    """`module` with "main" rebuilt: visit(rebuilder, old variable, expression over new variables) gives the new value of each binding.

    finish maps each output (old expression) to its new expression; by default what the visits made of it. begin runs before the first visit.
    """
    function = module["main"]
    graph = Graph(function)
    builder = relax.BlockBuilder()
    with closing_blocks(builder), builder.function("main", list(function.params), attrs=dict(function.attrs.items()) if function.attrs else None):
        with builder.dataflow():
            rebuilder = Rebuilder(graph, builder)
            begin(rebuilder)
            dead = dead_variables(graph)
            for variable, value in graph.definitions.items():
                if variable in dead or isinstance(value, relax.Tuple):
                    continue
                new = visit(rebuilder, variable, substitute(value, rebuilder.values))
                rebuilder.values[variable] = new if isinstance(new, tvm.ir.Var | tvm.ir.GenericConst) else rebuilder.emit(new, variable.name)
            new_results = [finish(rebuilder, r) if finish else substitute(r, rebuilder.values) for r in graph.results()]
            output = builder.emit_output(relax.Tuple(new_results) if len(new_results) > 1 else new_results[0])
        builder.emit_func_output(output)
    rebuilt = builder.finalize()
    result = dict(module.functions.items())
    result[module.get_global_var("main")] = rebuilt["main"]
    return tvm.IRModule(result)


def dead_variables(graph: Graph) -> set[Var]:
    """Variables that nothing reachable from the result reads."""
    live: set[Var] = set(variables(graph.result))
    for variable in reversed(list(graph.definitions)):
        if variable in live:
            live.update(variables(graph.definitions[variable]))
    return set(graph.definitions) - live
