"""Everything that is computed from constants alone, computed now: dequantized weights become float weights again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tvm
from tvm import relax

from nnc_tvm.relay_passes.composites.match import broadcastable
from nnc_tvm.relay_passes.composites.table import SEVERAL, UNARY
from nnc_tvm.relay_passes.graph import Rebuilder, constant, operator_name, rebuild
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


def _visit(r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
    if not isinstance(variable.ty, relax.TensorType) or isinstance(expr, tvm.ir.Var):
        return expr
    value = folded(expr, tuple(int(d) for d in variable.ty.shape), str(variable.ty.dtype))
    return expr if value is None else relax.const(value)


def fold_constants(module: tvm.IRModule) -> tvm.IRModule:
    """The pass: IRModule -> IRModule, the same meaning."""
    return rebuild(module, _visit)
