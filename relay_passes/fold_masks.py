"""Pruning masks become part of the weights: weight * mask, or where(mask, weight, 0) either way round, with all of it constant.

Integer weights stay integers: what is masked becomes the zero point. A mask that is not binary or does not fit is refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax

from nnc_tvm.relay_passes.graph import Rebuilder, call_with, constant, operator_name, rebuild
from nnc_tvm.relay_passes.masks import check_mask, check_product, is_mask
from nnc_tvm.relay_passes.qdq import dequantized_constant, quantization_of

Expr = Any


def reals(r: Rebuilder, expr: Expr) -> np.ndarray | None:
    """The values of a constant factor, dequantized or not; None for anything else."""
    definition = r.definition(expr)
    value = constant(definition)
    return dequantized_constant(definition) if value is None else value


def masked(r: Rebuilder, weight: Expr, mask: np.ndarray) -> Expr:
    """The constant `weight`, dequantized or not, with zeros where the mask is zero."""
    definition = r.definition(weight)
    value = constant(definition)
    if value is not None:
        return relax.const(np.where(mask != 0, value, np.zeros((), value.dtype)))
    q = quantization_of(definition)
    integers = constant(definition.args[0])
    assert q is not None and integers is not None
    zero = q.zero_point.reshape([-1 if i == q.axis and not q.per_tensor else 1 for i in range(integers.ndim)])
    return call_with(definition, [relax.const(np.where(mask != 0, integers, zero).astype(integers.dtype)), *definition.args[1:]])


def _product(r: Rebuilder, variable: Expr, call: Expr) -> Expr:
    factors = [(source_name(a) or variable.name, reals(r, a)) for a in call.args]
    (a_name, a), (b_name, b) = factors
    if a is None or b is None:
        return call
    check_product(((a_name, a), (b_name, b)))
    for weight, (name, mask), shape in ((call.args[0], (b_name, b), a.shape), (call.args[1], (a_name, a), b.shape)):
        if mask.ndim and is_mask(name, mask) and np.broadcast_shapes(mask.shape, shape) == shape:
            return masked(r, weight, mask)
    return call


def _selection(r: Rebuilder, variable: Expr, call: Expr) -> Expr:
    """where(mask, weight, 0), or where(mask, 0, weight)"""
    mask, *sides = (reals(r, a) for a in call.args)
    if mask is None or not mask.ndim:
        return call
    for number, kept in ((0, mask != 0), (1, mask == 0)):
        weight, other = sides[number], sides[1 - number]
        if weight is not None and weight.ndim > 1 and other is not None and not other.any():
            check_mask(source_name(call.args[0]) or variable.name, kept, source_name(call.args[1 + number]) or variable.name, weight.shape)
            return masked(r, call.args[1 + number], kept)
    return call


def source_name(expr: Expr) -> str:
    """What a variable is called; "" for constants."""
    return str(expr.name) if isinstance(expr, tvm.ir.Var) else ""


HANDLERS = {"relax.multiply": _product, "relax.where": _selection}


def _visit(r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
    handler = HANDLERS.get(operator_name(expr))
    return handler(r, variable, expr) if handler else expr


def fold_masks(module: tvm.IRModule) -> tvm.IRModule:
    """The pass: IRModule -> IRModule, the same meaning. Raises Unsupported naming the first bad place of a mask."""
    return rebuild(module, _visit)
