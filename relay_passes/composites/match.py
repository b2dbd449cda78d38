"""What a pattern is, and the pieces patterns share.

A pattern looks at one binding from its result backwards. It either takes the bindings that the operator stands for, or says None.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from tvm import relax

from nnc_tvm.relay_passes.canonicalize_qdq import UNSIGNED
from nnc_tvm.relay_passes.graph import Graph, constant, operator_name, tensor_type
from nnc_tvm.relay_passes.qdq import quantization_of, shifted_to_int8
from nnc_tvm.schedules.operators import Operator, TensorType
from nnc_tvm.schedules.quantization import Epilogue, FloatClamp, Mode, QuantParams, ScaleToFloat, make_requantize, quantized_bounds

Expr = Any


@dataclass(frozen=True, eq=False)
class Match:
    """operator: what the bindings compute. inputs: the variables (or constants) it reads, in order. covered: variables inside, the result last."""

    operator: Operator
    inputs: tuple[Expr, ...]
    covered: tuple[Expr, ...]


Matcher = Callable[[Graph, Expr, Mode], Match | None]
"""match(graph, variable, mode) -> Match or None."""


@dataclass
class Output:
    """The end of a pattern: an optional quantize over an optional clamp of `real`.

    quantization: of the result, None for a float result. low, high: the clamp in reals. covered: the variables from `real` to the result,
    without `real` itself.
    """

    real: Expr
    quantization: QuantParams | None
    low: float
    high: float
    covered: list[Expr]

    def integer_bounds(self) -> tuple[int, int]:
        """The clamp on the quantized result. Rounds half away from zero, as LiteRT does; exact for bounds on the grid."""
        assert self.quantization is not None
        return quantized_bounds(self.low, self.high, *self.quantization.scalar())

    def epilogue(self, mode: Mode, scale: np.ndarray, float_kernel: bool) -> Epilogue:
        """The epilogue for an accumulator whose unit is `scale` (float64 () or (channels,))."""
        if self.quantization is None:
            return FloatClamp(self.low, self.high) if float_kernel else ScaleToFloat(np.atleast_1d(scale).astype(np.float32), self.low, self.high)
        out, zero = self.quantization.scalar()
        return make_requantize(mode, scale / np.float64(np.float32(out)), zero, *self.integer_bounds())


def scalar(expr: Expr) -> float | None:
    """The value of a literal or of a constant of one element, None for anything else."""
    array = constant(expr)
    if array is not None:
        return float(array.reshape(-1)[0]) if array.size == 1 else None
    return float(expr.value) if isinstance(expr, tvm.tirx.FloatImm | tvm.tirx.IntImm) else None


def clamp_bounds(call: Expr) -> tuple[float, float] | None:
    """The bounds of an activation that is a clamp."""
    name = operator_name(call)
    if name == "relax.nn.relu":
        return 0.0, math.inf
    if name == "relax.nn.relu6":
        return 0.0, 6.0
    if name == "relax.clip":
        low, high = (scalar(a) for a in call.args[1:3])
        return None if low is None or high is None else (low, high)
    if name in ("relax.maximum", "relax.minimum"):
        bound = next((value for value in map(scalar, call.args) if value is not None), None)
        if bound is not None:
            return (bound, math.inf) if name == "relax.maximum" else (-math.inf, bound)
    return None


def clamp_operand(call: Expr) -> Expr:
    """What a clamp is of: the argument that is not a bound."""
    return next((a for a in call.args if isinstance(a, tvm.ir.Var)), call.args[0])


def unsigned_activations(graph: Graph) -> bool:
    """Whether the model's activations were uint8: some of LiteRT's kernels round these otherwise."""
    return bool(graph.function.attrs and UNSIGNED in graph.function.attrs)


def single_use(graph: Graph, variable: Expr) -> bool:
    return graph.uses[variable] == 1


def parse_output(graph: Graph, variable: Expr) -> Output:
    """Peels quantize and clamps off the definition of `variable`; what is inside must be read by nothing else."""
    covered = [variable]
    value = graph.definition(variable)
    q = quantization_of(value) if operator_name(value) == "relax.quantize" else None
    real: Expr = variable
    if q is not None and q.per_tensor and q.dtype == "int8":
        real = value.args[0]
    else:
        q, covered = None, []
    low, high = -math.inf, math.inf
    while real in graph.definitions and (real is variable or single_use(graph, real)):
        call = graph.definitions[real]
        bounds = clamp_bounds(call)
        if bounds is None or str(call.ty.dtype if hasattr(call, "ty") and call.ty is not None else "float32") != "float32":
            break
        covered.append(real)
        # the outer clamp is applied last
        low, high = max(low, min(bounds[0], high)), min(high, max(bounds[1], low))
        real = clamp_operand(call)
    return Output(real, q, low, high, covered)


@dataclass
class Leaf:
    """An operand: integers with their quantization, or reals (quantization None). array: its value where it is constant."""

    expr: Expr
    quantization: QuantParams | None
    array: np.ndarray | None
    covered: list[Expr]

    @property
    def type(self) -> TensorType:
        return TensorType(tuple(self.array.shape), str(self.array.dtype)) if self.array is not None else tensor_type(self.expr)

    @property
    def int8(self) -> QuantParams | None:
        """Its quantization where it is int8 on one scale."""
        q = self.quantization
        return q if q is not None and q.per_tensor and q.dtype == "int8" else None


def parse_operand(graph: Graph, expr: Expr) -> Leaf:
    """The integers behind a dequantize, a constant, or the float tensor itself. A dequantize is free: every reader has its own.

    uint8 constants become int8, exactly.
    """
    value = graph.definition(expr)
    q = quantization_of(value) if operator_name(value) == "relax.dequantize" else None
    if q is None:
        return Leaf(expr, None, constant(value), [])
    array = constant(value.args[0])
    if array is not None and array.dtype == np.uint8:
        array = (array.astype(np.int16) - 128).astype(np.int8)
        return Leaf(relax.const(array), shifted_to_int8(q), array, [])
    return Leaf(value.args[0], q, array, [])


def with_bias(graph: Graph, out: Output, name: str) -> tuple[Expr, Leaf | None, list[Expr]] | None:
    """(the contraction's variable, its bias operand, covered) below `out`; None where there is no contraction `name`."""
    core = out.real
    call = graph.definition(core)
    if operator_name(call) == name:
        return core, None, [core]
    if operator_name(call) != "relax.add":
        return None
    for side in (0, 1):
        inner, bias = call.args[side], parse_operand(graph, call.args[1 - side])
        if operator_name(graph.definition(inner)) == name and bias.array is not None and single_use(graph, inner):
            channels = tensor_type(inner).shape[-1]
            if bias.array.size == channels and (bias.array.ndim == 0 or bias.array.shape[-1] == channels):
                return inner, bias, [inner, core]
    return None


def broadcastable(q: QuantParams, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """(scale, zero_point) in shapes that broadcast over tensors of that rank."""
    shape = [1] * rank
    if not q.per_tensor:
        shape[q.axis] = -1
    return q.scale.reshape(shape), q.zero_point.reshape(shape)


def real_values(leaf: Leaf) -> np.ndarray | None:
    """The float64 values of a constant operand."""
    if leaf.array is None:
        return None
    if leaf.quantization is None:
        return leaf.array.astype(np.float64)
    scale, zero_point = broadcastable(leaf.quantization, leaf.array.ndim)
    return (leaf.array.astype(np.float64) - zero_point) * scale.astype(np.float64)
