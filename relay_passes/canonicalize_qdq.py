"""One spelling of QDQ graphs: int8 activations, constants folded, data movement on integers, clamps before the quantize.

- uint8 tensors become int8 with the zero point moved by 128; exact. uint8 inputs and outputs are converted at the door.
- Data movement (reshape, transpose, slice, max pooling, ...) of a dequantized tensor happens before the dequantize, on integers. So does
  padding, where its value is on the tensor's grid; before a quantize any padding is.
- clip on a quantized tensor becomes a clip on the reals before the quantize; full-range clips vanish.
- quantize(dequantize(x)) with the same parameters is x. Concatenation brings its inputs to the output's scale first.
- Movement and quantization of constants are computed now.
- A bias that is added behind a reshape is added before it, to the product.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax

from nnc_tvm.relay_passes.graph import Rebuilder, call_with, constant, operator_name, rebuild, substitute, tensor_type, variables
from nnc_tvm.relay_passes.moves import (
    HANDLED,
    MOVEMENT,
    RESHAPES,
    SHAPE_ONLY,
    moved_axis,
    moved_constant,
    padded,
    padding_integer,
    quantization_behind,
    shortened,
)
from nnc_tvm.relay_passes.qdq import dequantize, dequantized_constant, quantization_of, quantize, same_quantization, shifted_to_int8
from nnc_tvm.schedules.quantization import RANGES, QuantParams

Expr = Any
UNSIGNED = "nnc.unsigned_activations"  # on "main" when the model's activations were uint8
# element-wise functions of one tensor; RESHAPES are taken behind them, so that they stay next to the operator they belong to
UNARY = frozenset({
    "relax.clip", "relax.nn.gelu", "relax.nn.gelu_tanh", "relax.nn.leakyrelu", "relax.nn.relu", "relax.nn.relu6", "relax.nn.silu", "relax.sigmoid",
    "relax.tanh",
})


def single_reader(r: Rebuilder, variable: Expr) -> bool:
    """Whether nothing but `variable` reads its operand."""
    return r.graph.uses[r.graph.definitions[variable].args[0]] == 1


def bias_inside(r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
    """reshape(x) + bias as reshape(x + bias), next to the product that x is, where the bias lies along a last axis that stays."""
    old = r.graph.definitions[variable]
    for side in (0, 1):
        inner, bias = r.definition(expr.args[side]), expr.args[1 - side]
        if operator_name(inner) not in SHAPE_ONLY or r.graph.uses[old.args[side]] != 1 or constant(bias) is None:
            continue
        before, after = (tuple(int(d) for d in x.ty.shape) for x in (inner.args[0], inner))
        if before and before[-1:] == after[-1:] == tensor_type(bias).shape and after == tensor_type(variable).shape:
            return r.emit(call_with(inner, [r.emit(relax.op.add(inner.args[0], bias)), *inner.args[1:]]), variable.name)
    return expr


def constant_reals(definition: Expr) -> np.ndarray | None:
    """float32 values of a constant, dequantized or not; None for anything else."""
    value = constant(definition)
    return value.astype(np.float32) if value is not None else dequantized_constant(definition)


class CanonicalizeQdq:
    """See the module. State: the quantization of every integer variable that the pass has made; the inputs that it has seen, as int8."""

    def __init__(self) -> None:
        self.quantized: dict[Any, QuantParams] = {}
        self.doors: dict[Any, Expr] = {}
        self.unsigned = False

    def remember(self, variable: Expr, q: QuantParams) -> Expr:
        self.quantized[variable] = q
        return variable

    def visit(self, r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
        name = operator_name(expr)
        if name in MOVEMENT or name in HANDLED:
            expr = substitute(expr, {x: self.door(r, x) for x in variables(expr) if x in r.graph.parameters})
        else:  # what counts with the integers themselves reads them as they were
            was = getattr(r.graph.definitions[variable], "args", ())
            expr = substitute(expr, {x: self.as_before(r, x) for x, old in zip(getattr(expr, "args", ()), was, strict=True)
                                     if x in self.quantized and str(old.ty.dtype) == "uint8"})
        if name in MOVEMENT:
            return self.movement(r, variable, expr)
        if name == "relax.nn.pad":
            return self.pad(r, variable, expr)
        if name in UNARY and operator_name(r.definition(expr.args[0])) in RESHAPES and single_reader(r, variable):
            inner = r.definition(expr.args[0])
            moved = r.emit(call_with(expr, [inner.args[0], *expr.args[1:]]))
            return r.emit(call_with(inner, [moved, *inner.args[1:]]), variable.name)
        if name == "relax.add":
            return bias_inside(r, variable, expr)
        handler = {"relax.quantize": self.quantize, "relax.dequantize": self.dequantize, "relax.clip": self.clip, "relax.concat": self.concat}.get(name)
        return handler(r, variable, expr) if handler else expr

    def door(self, r: Rebuilder, parameter: Expr) -> Expr:
        """An input of the model; a uint8 one that something dequantizes as int8."""
        if parameter not in self.doors:
            q = quantization_behind(r.graph, parameter) if str(parameter.ty.dtype) == "uint8" else None
            self.doors[parameter] = parameter
            if q is not None:
                shifted = shifted_to_int8(q)
                self.doors[parameter] = self.remember(r.emit(quantize(r.emit(dequantize(parameter, q)), shifted)), shifted)
        return self.doors[parameter]

    def movement(self, r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
        expr = shortened(r, expr, [int(d) for d in variable.ty.shape])
        if isinstance(expr, tvm.ir.Var):
            return expr
        source = expr.args[0]
        expr = r.emit(expr, variable.name)
        typed = r.definition(expr)
        value = constant(source)
        if value is not None:
            moved = moved_constant(typed, value)
            return relax.const(moved) if moved is not None else expr
        if source in self.quantized:
            return self.remember(expr, self.quantized[source])
        inner = r.definition(source)
        q = quantization_of(inner)
        if q is None and operator_name(inner) == "relax.dequantize" and all(tensor_type(p).elements == 1 for p in inner.args[1:3]):  # by a scale of the run
            moved = r.emit(shortened(r, call_with(typed, [inner.args[0], *typed.args[1:]]), [int(d) for d in expr.ty.shape]))
            return relax.op.dequantize(moved, *inner.args[1:3], axis=0, out_dtype="float32")
        if q is None or operator_name(inner) != "relax.dequantize":
            return expr
        before, after = tuple(int(d) for d in source.ty.shape), tuple(int(d) for d in expr.ty.shape)
        value = constant(inner.args[0])
        if value is not None:
            moved = moved_constant(typed, value)
            axis = 0 if q.per_tensor else moved_axis(typed, before, after, q.axis)
            return expr if moved is None or axis is None else dequantize(relax.const(moved), QuantParams(q.scale, q.zero_point, q.dtype, axis))
        if not q.per_tensor:
            return expr
        integers = shortened(r, call_with(typed, [inner.args[0], *typed.args[1:]]), list(after))
        return dequantize(integers if isinstance(integers, tvm.ir.Var) else self.remember(r.emit(integers, variable.name + "_q"), q), q)

    def pad(self, r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
        """The padding of dequantized integers on the integers, by the integer that stands for the padding value."""
        source = expr.args[0]
        if source in self.quantized:  # integers already; uint8 ones are int8 by now
            shift = 128 if str(variable.ty.dtype) == "uint8" else 0
            return self.remember(r.emit(padded(expr, source, float(expr.attrs.pad_value) - shift), variable.name), self.quantized[source])
        inner = r.definition(source)
        q_inner = quantization_of(inner)
        if q_inner is None or operator_name(inner) != "relax.dequantize" or not q_inner.per_tensor or _is_constant(inner.args[0]):
            return expr
        integer = padding_integer(expr, q_inner)
        scale, zero = q_inner.scalar()
        if np.float32(integer - zero) * np.float32(scale) != np.float32(expr.attrs.pad_value):
            return expr
        return dequantize(self.remember(r.emit(padded(expr, inner.args[0], integer), variable.name + "_q"), q_inner), q_inner)

    def quantize(self, r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
        q = quantization_of(expr)
        if q is None:
            return expr
        target = shifted_to_int8(q)
        self.unsigned |= q.dtype == "uint8"
        inner = r.definition(expr.args[0])
        reals = constant_reals(inner)
        if reals is not None and q.per_tensor:
            return self.quantized_constant(reals, target)
        source = quantization_of(inner)
        if operator_name(inner) in RESHAPES and q.per_tensor and single_reader(r, variable):
            moved = self.remember(r.emit(quantize(inner.args[0], target), variable.name + "_q"), target)
            return self.remember(r.emit(call_with(inner, [moved, *inner.args[1:]]), variable.name), target)
        if operator_name(inner) == "relax.nn.pad" and q.per_tensor and single_reader(r, variable):
            moved = self.remember(r.emit(quantize(inner.args[0], target), variable.name + "_q"), target)
            return self.remember(r.emit(padded(inner, moved, padding_integer(inner, target)), variable.name), target)
        if operator_name(inner) == "relax.dequantize" and source is not None and same_quantization(source, target) and not _is_constant(inner.args[0]):
            return self.remember(inner.args[0], target)
        if operator_name(inner) == "relax.concat":
            parts = [self.onto_scale(r, field, target) for field in inner.args[0].fields]
            return self.remember(r.emit(relax.op.concat(parts, axis=int(inner.attrs.axis)), variable.name), target)
        return self.remember(r.emit(quantize(expr.args[0], target), variable.name), target)

    def quantized_constant(self, reals: np.ndarray, target: QuantParams) -> Expr:
        """The integers of constant reals, computed in float32 as at run time."""
        integers = np.rint(reals.astype(np.float32) / target.scale) + target.zero_point
        return self.remember(relax.const(np.clip(integers, *RANGES[target.dtype]).astype(target.dtype)), target)

    def onto_scale(self, r: Rebuilder, real: Expr, target: QuantParams) -> Expr:
        """The integers of `real` on the scale `target`."""
        inner = r.definition(real)
        source = quantization_of(inner)
        if operator_name(inner) == "relax.dequantize" and source is not None and same_quantization(source, target):
            return inner.args[0]
        reals = constant_reals(inner)
        if reals is not None:
            return self.quantized_constant(reals, target)
        return self.remember(r.emit(quantize(real, target)), target)

    def dequantize(self, r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
        q = quantization_of(expr)
        source = expr.args[0]
        if q is None or _is_constant(source):
            return expr
        if str(r.graph.definitions[variable].args[0].ty.dtype) == "uint8":  # what it was before its source became int8
            q = QuantParams(q.scale, q.zero_point, "uint8", q.axis)
            if source not in self.quantized:  # uint8 that no quantize has made: a cast
                return dequantize(source, q)
            q = shifted_to_int8(q)
        return dequantize(source, q)

    def clip(self, r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
        source = expr.args[0]
        q = self.quantized.get(source)
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
        return self.remember(r.emit(quantize(clipped, q), variable.name), q)

    def concat(self, r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
        if not isinstance(expr.args[0], relax.Tuple):
            return expr
        fields = list(expr.args[0].fields)
        known = next((self.quantized[f] for f in fields if f in self.quantized), None)
        if known is not None and all(f in self.quantized or _is_constant(f) for f in fields):
            return self.remember(r.emit(relax.op.concat([_as_int8(f) for f in fields], axis=int(expr.attrs.axis)), variable.name), known)
        parameters = [quantization_of(r.definition(f)) for f in fields]
        first = parameters[0]
        if first is None or not first.per_tensor or any(p is None or not same_quantization(p, first) for p in parameters):
            return expr
        integers = [r.definition(f).args[0] for f in fields]
        if not all(isinstance(i, tvm.ir.Var) for i in integers):
            return expr
        return dequantize(self.remember(r.emit(relax.op.concat(integers, axis=int(expr.attrs.axis)), variable.name + "_q"), first), first)

    def as_before(self, r: Rebuilder, shifted: Expr) -> Expr:
        """The uint8 tensor that is int8 by now."""
        q = self.quantized[shifted]
        return r.emit(quantize(r.emit(dequantize(shifted, q)), QuantParams(q.scale, q.zero_point + 128, "uint8", q.axis)))

    def finish(self, r: Rebuilder, result: Expr) -> Expr:
        new: Expr = r.values.get(result, result)
        return self.as_before(r, new) if str(result.ty.dtype) == "uint8" and new in self.quantized and str(new.ty.dtype) == "int8" else new


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
