"""Movement and padding of dequantized tensors, moved before the dequantize: onto integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax

from nnc_tvm.relay_passes.graph import Rebuilder, call_with, constant, operator_name, tensor_type
from nnc_tvm.relay_passes.integers import Integers
from nnc_tvm.relay_passes.moves import moved_axis, moved_constant, padded, padding_integer, shortened
from nnc_tvm.relay_passes.qdq import dequantize, quantization_of
from nnc_tvm.schedules.quantization import QuantParams

Expr = Any


def movement(state: Integers, r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
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
    if source in state.quantized:
        return state.remember(expr, state.quantized[source])
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
    return dequantize(integers if isinstance(integers, tvm.ir.Var) else state.remember(r.emit(integers, variable.name + "_q"), q), q)



def pad(state: Integers, r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
    """The padding of dequantized integers on the integers, by the integer that stands for the padding value."""
    source = expr.args[0]
    if source in state.quantized:  # integers already; uint8 ones are int8 by now
        shift = 128 if str(variable.ty.dtype) == "uint8" else 0
        return state.remember(r.emit(padded(expr, source, float(expr.attrs.pad_value) - shift), variable.name), state.quantized[source])
    inner = r.definition(source)
    q_inner = quantization_of(inner)
    if q_inner is None or operator_name(inner) != "relax.dequantize" or not q_inner.per_tensor or constant(inner.args[0]) is not None:
        return expr
    integer = padding_integer(expr, q_inner)
    scale, zero = q_inner.scalar()
    if np.float32(integer - zero) * np.float32(scale) != np.float32(expr.attrs.pad_value):
        return expr
    return dequantize(state.remember(r.emit(padded(expr, inner.args[0], integer), variable.name + "_q"), q_inner), q_inner)
