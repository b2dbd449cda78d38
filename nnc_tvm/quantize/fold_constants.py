"""Everything that is computed from constants alone, computed now: dequantized weights become float weights again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tvm
from tvm import relax

from nnc_tvm.reference import evaluate
from nnc_tvm.relay_passes.composites.match import broadcastable
from nnc_tvm.relay_passes.composites.table import SEVERAL, UNARY
from nnc_tvm.relay_passes.graph import Rebuilder, constant, operator_name, rebuild, tensor_type
from nnc_tvm.relay_passes.movement import lower_movement
from nnc_tvm.relay_passes.qdq import quantization_of

Expr = Any
RESHAPES = frozenset({"relax.reshape", "relax.expand_dims", "relax.squeeze", "relax.flatten"})


def _reals(call: Expr) -> np.ndarray | None:
    q = quantization_of(call)
    integers = constant(call.args[0])
    if q is None or integers is None:
        return None
    scale, zero_point = broadcastable(q, integers.ndim)
    return (integers.astype(np.int32) - zero_point).astype(np.float32) * scale


def _transposed(call: Expr) -> np.ndarray | None:
    value = constant(call.args[0])
    axes = None if call.attrs.axes is None else [int(a) for a in call.attrs.axes]
    return None if value is None else value.transpose(axes)


FOLD: dict[str, Callable[[Expr], np.ndarray | None]] = {"relax.dequantize": _reals, "relax.permute_dims": _transposed}


def _computed(name: str, call: Expr, operands: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray | None:
    if name in RESHAPES:
        return operands[0].reshape(shape)
    if name in UNARY:
        return UNARY[name](operands[0], call.attrs)
    if name == "relax.matmul":
        return np.asarray(np.matmul(*operands))
    return SEVERAL[name](*operands) if name in SEVERAL else None


def folded(call: Expr, shape: tuple[int, ...], dtype: str) -> np.ndarray | None:
    """The value of a call whose operands are constants; None for other calls and for operators that are left as they are."""
    name = operator_name(call)
    if name in FOLD:
        value = FOLD[name](call)
    else:
        operands = [constant(a) for a in getattr(call, "args", ()) if not isinstance(a, relax.ShapeExpr)]
        known = [x for x in operands if x is not None]
        if not known or len(known) < len(operands):
            return None
        value = _computed(name, call, known, shape)
    return None if value is None else np.ascontiguousarray(value.astype(dtype))


def _zero_operand(expr: Expr) -> int | None:
    """Which float operand of a call is a constant of zeros: an initial state, say."""
    values = [constant(a) for a in getattr(expr, "args", ())]
    return next((k for k, v in enumerate(values) if v is not None and v.dtype == np.float32 and not v.any()), None)


def _sliced(r: Rebuilder, variable: Expr, expr: Expr) -> np.ndarray | None:
    """A part of a constant: the initial states of recurrent layers, say."""
    if operator_name(expr) != "relax.strided_slice" or (value := constant(expr.args[0])) is None:
        return None
    match = lower_movement(r.graph, variable)
    return None if match is None else evaluate(match.operator, value)


def _visit(r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
    if not isinstance(variable.ty, relax.TensorType) or isinstance(expr, tvm.ir.Var):
        return expr
    name, zero = operator_name(expr), _zero_operand(expr)
    if name == "relax.add" and zero is not None and tensor_type(expr.args[1 - zero]) == tensor_type(variable):
        return expr.args[1 - zero]
    value = _sliced(r, variable, expr) if name != "relax.multiply" or zero is None else np.zeros(tensor_type(variable).shape, np.float32)
    if value is None:
        value = folded(expr, tuple(int(d) for d in variable.ty.shape), str(variable.ty.dtype))
    return expr if value is None else relax.const(value)


def fold_constants(module: tvm.IRModule) -> tvm.IRModule:
    """The pass: IRModule -> IRModule, the same meaning."""
    return rebuild(module, _visit)
