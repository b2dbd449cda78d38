"""Any chain of unary functions between two quantized tensors is one 256-entry table."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tvm

from nnc_tvm.relay_passes.composites.litert_functions import litert_function
from nnc_tvm.relay_passes.composites.match import Match, clamp_bounds, clamp_operand, parse_output, single_use
from nnc_tvm.relay_passes.graph import Graph, constant, operator_name, tensor_type
from nnc_tvm.relay_passes.qdq import quantization_of
from nnc_tvm.schedules.operators import Table
from nnc_tvm.schedules.operators.unary import fixed_table
from nnc_tvm.schedules.quantization import Mode, QuantParams

Expr = Any
LOWEST = float(np.finfo(np.float32).min)  # what has no logarithm saturates
_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))


def _where(condition: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.where(condition, x, y)


UNARY: dict[str, Callable[[np.ndarray, Any], np.ndarray]] = {
    "relax.sigmoid": lambda x, a: _sigmoid(x),
    "relax.tanh": lambda x, a: np.tanh(x),
    "relax.exp": lambda x, a: np.exp(x),
    "relax.erf": lambda x, a: _erf(x),
    "relax.abs": lambda x, a: np.abs(x),
    "relax.negative": lambda x, a: -x,
    "relax.log": lambda x, a: np.where(x > 0, np.log(np.where(x > 0, x, 1)), LOWEST),
    "relax.sqrt": lambda x, a: np.sqrt(np.maximum(x, 0)),
    "relax.square": lambda x, a: x * x,
    "relax.nn.relu": lambda x, a: np.maximum(x, 0),
    "relax.nn.relu6": lambda x, a: np.clip(x, 0, 6),
    "relax.nn.leakyrelu": lambda x, a: np.where(x >= 0, x, x * float(a.alpha)),
    "relax.nn.gelu": lambda x, a: x * 0.5 * (1 + _erf(x / math.sqrt(2))),
    "relax.nn.gelu_tanh": lambda x, a: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "relax.nn.silu": lambda x, a: x * _sigmoid(x),
    "relax.nn.softplus": lambda x, a: np.logaddexp(0, x),
    "relax.astype": lambda x, a: x,
}
SEVERAL: dict[str, Callable[..., np.ndarray]] = {
    "relax.add": np.add, "relax.subtract": np.subtract, "relax.multiply": np.multiply, "relax.divide": np.divide, "relax.power": np.power,
    "relax.maximum": np.maximum, "relax.minimum": np.minimum, "relax.greater": np.greater, "relax.less": np.less, "relax.greater_equal": np.greater_equal,
    "relax.less_equal": np.less_equal, "relax.where": _where,
}


class _Evaluator:
    """Evaluates an expression over all 256 values of its one integer source."""

    def __init__(self, graph: Graph, root: Expr) -> None:
        self.graph, self.root = graph, root
        self.source: Expr | None = None
        self.quantization: QuantParams | None = None
        self.values: dict[Any, np.ndarray | None] = {}
        self.covered: list[Expr] = []

    def __call__(self, expr: Expr) -> np.ndarray | None:
        if expr not in self.values:
            self.values[expr] = self.evaluate(expr)
        return self.values[expr]

    def evaluate(self, expr: Expr) -> np.ndarray | None:
        value = constant(expr)
        if value is not None:
            return value.astype(np.float64).reshape(1) if value.size == 1 else None
        call = self.graph.definition(expr)
        name = operator_name(call)
        if name == "relax.dequantize":
            q = quantization_of(call)
            array = constant(call.args[0])
            if q is None or not q.per_tensor:
                return None
            scale, zero = q.scalar()
            if array is not None:
                return (array.astype(np.float64).reshape(1) - zero) * scale if array.size == 1 else None
            if q.dtype != "int8" or (self.source is not None and self.source is not call.args[0] and not self.source.same_as(call.args[0])):
                return None
            self.source, self.quantization = call.args[0], q
            return (np.arange(-128, 128) - zero) * float(np.float32(scale))
        bounds = clamp_bounds(call)
        if bounds is not None:
            x = self(clamp_operand(call))
            result = None if x is None else np.clip(x, *bounds)
        elif name in UNARY:
            x = self(call.args[0])
            result = None if x is None else UNARY[name](x, call.attrs)
        elif name in SEVERAL:
            operands = [x for x in map(self, call.args) if x is not None]
            if len(operands) < len(call.args):
                return None
            with np.errstate(all="ignore"):
                result = SEVERAL[name](*operands)
        else:
            return None
        if result is not None:
            self.covered.append(expr)
        return result


def match_table(graph: Graph, variable: Expr, mode: Mode) -> Match | None:
    """quantize(f(dequantize(x))) with f a graph of element-wise functions of x and scalars."""
    out = parse_output(graph, variable)
    if out.quantization is None:
        return None
    evaluator = _Evaluator(graph, variable)
    real = evaluator(out.real)
    if real is None or evaluator.source is None or not np.all(np.isfinite(real)) or tensor_type(evaluator.source).shape != tensor_type(variable).shape:
        return None
    inside = {v for v in evaluator.covered}
    readers = {v: 0 for v in inside}
    for v in [*inside, *out.covered]:
        for argument in getattr(graph.definition(v), "args", ()):
            if isinstance(argument, tvm.ir.Var) and argument in readers:
                readers[argument] += 1
    if any(graph.uses[v] != n for v, n in readers.items()) or (out.real in graph.definitions and out.real not in inside and not single_use(graph, out.real)):
        return None  # something else needs a value inside as float
    scale, zero = out.quantization.scalar()
    low, high = out.integer_bounds()
    source = evaluator.quantization
    function = litert_function(graph, out.real) if mode == "fixed" and (out.low, out.high) == (-math.inf, math.inf) else None
    if function is not None and source is not None:
        table = fixed_table(*function, source, out.quantization)
        return Match(Table((tensor_type(evaluator.source),), tensor_type(variable), table), (evaluator.source,), (*evaluator.covered, *out.covered))
    table = np.clip(np.rint(np.broadcast_to(real, (256,)) / np.float64(np.float32(scale))) + zero, low, high).astype(np.int8)
    return Match(Table((tensor_type(evaluator.source),), tensor_type(variable), table), (evaluator.source,), (*evaluator.covered, *out.covered))
