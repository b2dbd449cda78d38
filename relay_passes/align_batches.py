"""Matrix products of operands whose batches differ.

A constant right side that all share becomes a matrix, one computed at run time makes one product of more rows; other batches are repeated.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tvm
from tvm import relax

from nnc_tvm.relay_passes.graph import Rebuilder, constant, operator_name, rebuild, tensor_type

Expr = Any


def _is_constant(r: Rebuilder, x: Expr) -> bool:
    inner = r.definition(x)
    return constant(inner) is not None or (operator_name(inner) == "relax.dequantize" and constant(inner.args[0]) is not None)


def _visit(r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
    if operator_name(expr) != "relax.matmul":
        return expr
    a, b = expr.args
    left, right = tensor_type(a).shape, tensor_type(b).shape
    if len(left) < 2 or len(right) < 2 or (left[:-2] == right[:-2] and not _is_constant(r, b)):
        return expr
    if math.prod(right[:-2]) == 1 and len(left) >= len(right):
        matrix = b if len(right) == 2 else r.emit(relax.op.reshape(b, right[-2:]))
        if _is_constant(r, b):
            return relax.op.matmul(a, matrix)
        rows = r.emit(relax.op.reshape(a, (math.prod(left[:-1]), left[-1])))
        return relax.op.reshape(r.emit(relax.op.matmul(rows, matrix)), [int(d) for d in variable.ty.shape])
    if left[:-2] == right[:-2]:
        return expr
    batch = np.broadcast_shapes(left[:-2], right[:-2])
    operands = [x if shape[:-2] == batch else r.emit(relax.op.broadcast_to(x, (*batch, *shape[-2:]))) for x, shape in ((a, left), (b, right))]
    return relax.op.matmul(*operands)


def align_batches(module: tvm.IRModule) -> tvm.IRModule:
    """The pass: IRModule -> IRModule, the same meaning; every matmul left has equal batches or a matrix on the right."""
    return rebuild(module, _visit)
