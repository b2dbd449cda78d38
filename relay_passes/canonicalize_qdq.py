"""One spelling of QDQ graphs: int8 activations, constants folded, data movement on integers, clamps before the quantize.

- uint8 tensors become int8 with the zero point moved by 128; exact. uint8 inputs and outputs are converted at the door.
- Data movement (reshape, transpose, slice, max pooling, ...) of a dequantized tensor happens before the dequantize, on integers. So does
  padding, where its value is on the tensor's grid; before a quantize any padding is.
- clip on a quantized tensor becomes a clip on the reals before the quantize; full-range clips vanish.
- quantize(dequantize(x)) with the same parameters is x. Concatenation brings its inputs to the output's scale first.
- Movement and quantization of constants are computed now.
- A bias that is added behind moves is added before them, to the product.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax

from nnc_tvm.relay_passes.behind_moves import bias_inside, moved_again, moves_of
from nnc_tvm.relay_passes.graph import Rebuilder, call_with, constant, operator_name, rebuild, substitute, variables
from nnc_tvm.relay_passes.integers import Integers, constant_reals
from nnc_tvm.relay_passes.move_integers import movement, pad
from nnc_tvm.relay_passes.moves import HANDLED, MOVEMENT, padded, padding_integer
from nnc_tvm.relay_passes.qdq import dequantize, quantization_of, quantize, same_quantization, shifted_to_int8
from nnc_tvm.schedules.quantization import RANGES, QuantParams

Expr = Any
UNSIGNED = "nnc.unsigned_activations"  # on "main" when the model's activations were uint8
# element-wise functions of one tensor; moves are taken behind them, so that they stay next to the operator they belong to
UNARY = frozenset({
    "relax.clip", "relax.nn.gelu", "relax.nn.gelu_tanh", "relax.nn.leakyrelu", "relax.nn.relu", "relax.nn.relu6", "relax.nn.silu", "relax.sigmoid",
    "relax.tanh",
})


def single_reader(r: Rebuilder, variable: Expr) -> bool:
    """Whether nothing but `variable` reads its operand."""
    return r.graph.uses[r.graph.definitions[variable].args[0]] == 1


class CanonicalizeQdq:
    """See the module. unsigned: whether an activation was uint8."""

    def __init__(self) -> None:
        self.integers = Integers()
        self.unsigned = False

    def visit(self, r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
        name = operator_name(expr)
        if name in MOVEMENT or name in HANDLED:
            expr = substitute(expr, {x: self.integers.door(r, x) for x in variables(expr) if x in r.graph.parameters})
        else:  # what counts with the integers themselves reads them as they were
            was = getattr(r.graph.definitions[variable], "args", ())
            expr = substitute(expr, {x: self.integers.as_before(r, x) for x, old in zip(getattr(expr, "args", ()), was, strict=True)
                                     if x in self.integers.quantized and str(old.ty.dtype) == "uint8"})
        if name in MOVEMENT:
            return movement(self.integers, r, variable, expr)
        if name == "relax.nn.pad":
            return pad(self.integers, r, variable, expr)
        if name in UNARY:
            source, moves = moves_of(r, variable, expr.args[0])
            if moves:
                return moved_again(r, r.emit(call_with(expr, [source, *expr.args[1:]])), moves, variable.name)
        if name == "relax.add":
            return bias_inside(r, variable, expr)
        handler = {"relax.quantize": self.quantize, "relax.dequantize": self.dequantize, "relax.clip": self.clip, "relax.concat": self.concat}.get(name)
        return handler(r, variable, expr) if handler else expr

    def quantize(self, r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
        q = quantization_of(expr)
        if q is None:
            return expr
        target = shifted_to_int8(q)
        self.unsigned |= q.dtype == "uint8"
        inner = r.definition(expr.args[0])
        reals = constant_reals(inner)
        if reals is not None and q.per_tensor:
            return self.integers.quantized_constant(reals, target)
        source = quantization_of(inner)
        before, moves = moves_of(r, variable, expr.args[0])
        if moves and q.per_tensor:
            return self.integers.remember(moved_again(r, r.emit(quantize(before, target), variable.name + "_q"), moves, variable.name), target)
        if operator_name(inner) == "relax.nn.pad" and q.per_tensor and single_reader(r, variable):
            moved = self.integers.remember(r.emit(quantize(inner.args[0], target), variable.name + "_q"), target)
            return self.integers.remember(r.emit(padded(inner, moved, padding_integer(inner, target)), variable.name), target)
        if operator_name(inner) == "relax.dequantize" and source is not None and same_quantization(source, target) and not _is_constant(inner.args[0]):
            return self.integers.remember(inner.args[0], target)
        if operator_name(inner) == "relax.concat":
            parts = [self.integers.onto_scale(r, field, target) for field in inner.args[0].fields]
            return self.integers.remember(r.emit(relax.op.concat(parts, axis=int(inner.attrs.axis)), variable.name), target)
        return self.integers.remember(r.emit(quantize(expr.args[0], target), variable.name), target)

    def dequantize(self, r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
        q = quantization_of(expr)
        source = expr.args[0]
        if q is None or _is_constant(source):
            return expr
        if str(r.graph.definitions[variable].args[0].ty.dtype) == "uint8":  # what it was before its source became int8
            q = QuantParams(q.scale, q.zero_point, "uint8", q.axis)
            if source not in self.integers.quantized:  # uint8 that no quantize has made: a cast
                return dequantize(source, q)
            q = shifted_to_int8(q)
        return dequantize(source, q)

    def clip(self, r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
        source = expr.args[0]
        q = self.integers.quantized.get(source)
        if q is None or not q.per_tensor:
            return expr
        shift = 128 if str(variable.ty.dtype) == "uint8" else 0
        low, high = (float(a.value) - shift for a in expr.args[1:3])
        bounds = RANGES[q.dtype]
        if low <= bounds[0] and high >= bounds[1]:
            return source
        scale, zero = q.scalar()
        inner = r.definition(source)
        real = inner.args[0] if operator_name(inner) == "relax.quantize" else r.emit(dequantize(source, q))
        clipped = r.emit(relax.op.clip(real, scale * (low - zero), scale * (high - zero)))
        return self.integers.remember(r.emit(quantize(clipped, q), variable.name), q)

    def concat(self, r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
        if not isinstance(expr.args[0], relax.Tuple):
            return expr
        fields = list(expr.args[0].fields)
        known = next((self.integers.quantized[f] for f in fields if f in self.integers.quantized), None)
        if known is not None and all(f in self.integers.quantized or _is_constant(f) for f in fields):
            return self.integers.remember(r.emit(relax.op.concat([_as_int8(f) for f in fields], axis=int(expr.attrs.axis)), variable.name), known)
        parameters = [quantization_of(r.definition(f)) for f in fields]
        first = parameters[0]
        if first is None or not first.per_tensor or any(p is None or not same_quantization(p, first) for p in parameters):
            return expr
        integers = [r.definition(f).args[0] for f in fields]
        if not all(isinstance(i, tvm.ir.Var) for i in integers):
            return expr
        return dequantize(self.integers.remember(r.emit(relax.op.concat(integers, axis=int(expr.attrs.axis)), variable.name + "_q"), first), first)

    def finish(self, r: Rebuilder, result: Expr) -> Expr:
        new: Expr = r.values.get(result, result)
        return self.integers.as_before(r, new) if str(result.ty.dtype) == "uint8" and new in self.integers.quantized and str(new.ty.dtype) == "int8" else new


def _as_int8(integers: Expr) -> Expr:
    """uint8 constants shifted as the variables beside them are."""
    value = constant(integers)
    return relax.const((value.astype(np.int16) - 128).astype(np.int8)) if value is not None and value.dtype == np.uint8 else integers


def _is_constant(expr: Expr) -> bool:
    return constant(expr) is not None


def canonicalize_qdq(module: tvm.IRModule) -> tvm.IRModule:
    """The pass: IRModule -> IRModule, the same meaning."""
    state = CanonicalizeQdq()
    rebuilt = rebuild(module, state.visit, state.finish)
    if state.unsigned:
        rebuilt["main"] = rebuilt["main"].with_attr(UNSIGNED, 1)
    return rebuilt
