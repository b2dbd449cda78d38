"""Factors and shifts per channel after a contraction, folded into its weights and bias: batch normalization costs nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax

from nnc_tvm.quantize.contraction import Contraction, contraction_of
from nnc_tvm.relay_passes.graph import Graph, Rebuilder, constant, operator_name, rebuild

Expr = Any
AFFINE = frozenset({"relax.add", "relax.subtract", "relax.multiply", "relax.divide"})


def affine(name: str, value: np.ndarray, constant_first: bool) -> tuple[np.ndarray, np.ndarray] | None:
    """(factor, shift) of `x name value`, or of `value name x`; None where that is no affine function of x."""
    one, zero = np.ones_like(value), np.zeros_like(value)
    table = {"relax.add": (one, value), "relax.subtract": (-one, value) if constant_first else (one, -value), "relax.multiply": (value, zero)}
    if name == "relax.divide":
        return None if constant_first or np.any(value == 0) else (1 / value, zero)
    return table[name]


def biased_contraction(graph: Graph, variable: Expr) -> tuple[Contraction, np.ndarray] | None:
    """The contraction and its bias (channels,) that `variable` is bound to, read by nothing else; None for anything else."""
    call = graph.definition(variable)
    if graph.uses[variable] != 1:
        return None
    contraction = contraction_of(call)
    if contraction is not None:
        return contraction, np.zeros(contraction.channels)
    if operator_name(call) != "relax.add":
        return None
    for side in (0, 1):
        bias, inner = constant(call.args[side]), call.args[1 - side]
        if bias is None or not isinstance(inner, tvm.ir.Var) or graph.uses[inner] != 1:
            continue
        contraction = contraction_of(graph.definition(inner))
        vector = None if contraction is None else contraction.channel_vector(bias)
        if contraction is not None and vector is not None:
            return contraction, vector
    return None


class FoldBatchNorm:
    """See the module. folded: how many operators this round has taken in."""

    def __init__(self) -> None:
        self.folded = 0

    def visit(self, r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
        name, original = operator_name(expr), r.graph.definitions[variable]
        if name not in AFFINE:
            return expr
        for side in (0, 1):
            value, inner = constant(original.args[side]), original.args[1 - side]
            found = biased_contraction(r.graph, inner) if value is not None and isinstance(inner, tvm.ir.Var) else None
            if value is None or found is None:
                continue
            contraction, bias = found
            vector = contraction.channel_vector(value)
            terms = None if vector is None else affine(name, vector, constant_first=side == 0)
            if terms is None or (name == "relax.add" and r.graph.definition(inner) is contraction.call):
                continue  # a bias on its contraction is what the rest of the compiler wants
            self.folded += 1
            factor, shift = terms
            weight = (contraction.weight.astype(np.float64) * contraction.along_outputs(factor)).astype(np.float32)
            source = r.values.get(contraction.call.args[0], contraction.call.args[0])
            scaled = r.emit(tvm.ir.Call(contraction.call.op, [source, relax.const(weight)], contraction.call.attrs, contraction.call.ty_args))
            return relax.op.add(scaled, contraction.broadcast(bias * factor + shift))
        return expr


def fold_batch_norm(module: tvm.IRModule) -> tvm.IRModule:
    """The pass: IRModule -> IRModule, the same meaning up to float rounding."""
    while True:
        state = FoldBatchNorm()
        module = rebuild(module, state.visit)
        if not state.folded:
            return module
