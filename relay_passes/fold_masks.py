"""Pruning masks become part of the weights: weight * mask, or where(mask, weight, 0) either way round, with all of it constant.

Integer weights stay integers: what is masked becomes the zero point. Of what a convolution or a matrix product has for weights, a mask that is
not binary or does not fit is refused. Other products and selections of constants are computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tvm
from tvm import relax

from nnc_tvm.relay_passes.graph import Graph, Rebuilder, call_with, constant, operator_name, rebuild, variables
from nnc_tvm.relay_passes.masks import check_mask, check_product, is_binary
from nnc_tvm.relay_passes.moves import MOVEMENT
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
    a, b = (reals(r, x) for x in call.args)
    if a is None or b is None:
        return call
    if is_weight(r.graph, variable):
        check_product(((source_name(call.args[0]), a), (source_name(call.args[1]), b)), str(variable.name))
    for weight, mask, shape in ((call.args[0], b, a.shape), (call.args[1], a, b.shape)):
        if mask.ndim and is_binary(mask) and np.broadcast_shapes(mask.shape, shape) == shape:
            return masked(r, weight, mask)
    return computed(r, call, np.multiply)


def _selection(r: Rebuilder, variable: Expr, call: Expr) -> Expr:
    """where(mask, weight, 0), or where(mask, 0, weight)"""
    mask, a, b = (reals(r, x) for x in call.args)
    if mask is None or a is None or b is None:
        return call
    for number, weight, other, kept in ((0, a, b, mask != 0), (1, b, a, mask == 0)):
        if not mask.ndim or weight.ndim < 2 or other.any():
            continue
        if is_weight(r.graph, variable):
            check_mask(source_name(call.args[0]) or str(variable.name), kept, source_name(call.args[1 + number]) or str(variable.name), weight.shape)
        if np.broadcast_shapes(kept.shape, weight.shape, other.shape) == weight.shape:
            return masked(r, call.args[1 + number], kept)
    return computed(r, call, np.where)


def computed(r: Rebuilder, call: Expr, function: Callable[..., np.ndarray]) -> Expr:
    """The value of a call of plain constants; the call where one of them is dequantized."""
    values = [constant(r.definition(a)) for a in call.args]
    return call if any(v is None for v in values) else relax.const(np.asarray(function(*values)))


def is_weight(graph: Graph, variable: Expr) -> bool:
    """Whether a constant, moved, quantized or scaled at most, ends as the weights of a convolution or a matrix product."""
    for reader, value in graph.definitions.items():
        if any(read.same_as(variable) for read in variables(value)):
            constant_too = all(read.same_as(variable) or is_constant(graph, read) for read in variables(value))
            if operator_name(value) in CONTRACTIONS and not constant_too:
                return True
            if operator_name(value) in PASSED_ON and constant_too and is_weight(graph, reader):
                return True
    return False


def is_constant(graph: Graph, variable: Expr) -> bool:
    """Whether no parameter has a part in it."""
    return variable not in graph.parameters and all(is_constant(graph, read) for read in variables(graph.definition(variable)))


def source_name(expr: Expr) -> str:
    """What a variable is called; "" for constants."""
    return str(expr.name) if isinstance(expr, tvm.ir.Var) else ""


CONTRACTIONS = frozenset({"relax.matmul", *(f"relax.nn.conv{n}d{t}" for n in (1, 2, 3) for t in ("", "_transpose"))})
PASSED_ON = frozenset({*MOVEMENT, "relax.quantize", "relax.dequantize", "relax.astype", "relax.multiply"})
HANDLERS = {"relax.multiply": _product, "relax.where": _selection}


def _visit(r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
    handler = HANDLERS.get(operator_name(expr))
    return handler(r, variable, expr) if handler else expr


def fold_masks(module: tvm.IRModule) -> tvm.IRModule:
    """The pass: IRModule -> IRModule, the same meaning. Raises Unsupported naming the first bad place of a mask."""
    return rebuild(module, _visit)
