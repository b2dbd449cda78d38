"""A float module and the quantization of its tensors become a module in QDQ form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from tvm import relax

from nnc_tvm.quantize.contraction import CONTRACTIONS, Contraction, contraction_of
from nnc_tvm.quantize.grid import activation_grid
from nnc_tvm.quantize.patterns import ARITHMETIC
from nnc_tvm.quantize.plan import Plan
from nnc_tvm.relay_passes.graph import Rebuilder, call_with, constant, operator_name, rebuild
from nnc_tvm.relay_passes.qdq import dequantize, quantize
from nnc_tvm.schedules.quantization import QuantParams

Expr = Any


@dataclass(frozen=True, eq=False)
class Weights:
    """Of one contraction. integers: int8, of the float weights' shape. scale: float32 (channels,). bias: int32 (channels,) in units of
    input scale * scale, `unit` float32 (channels,)."""

    integers: np.ndarray
    scale: np.ndarray
    bias: np.ndarray
    unit: np.ndarray


class InsertQdq:
    """activations: of every point of the plan. weights: by the variable that the contraction is bound to."""

    def __init__(self, plan: Plan, activations: dict[Expr, QuantParams], weights: dict[Expr, Weights]) -> None:
        self.plan, self.activations, self.weights = plan, activations, weights
        self.biased = {plan.absorbed[v]: v for v in weights if v in plan.absorbed and operator_name(plan.call(plan.absorbed[v])) == "relax.add"}

    def begin(self, r: Rebuilder) -> None:
        for parameter in r.graph.function.params:
            r.values[parameter] = self.rounded(r, parameter, parameter)

    def visit(self, r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
        return self.rounded(r, variable, r.emit(self.rewritten(r, variable, expr), variable.name))

    def rewritten(self, r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
        """The operator with integer constants."""
        if variable in self.weights:
            return self.contraction(r, variable, expr)
        if variable in self.biased:
            return self.bias(r, variable, expr)
        if self.wants_integer_constants(variable, expr):
            return call_with(expr, [self.constant_operand(r, a) for a in expr.args])
        return expr

    def rounded(self, r: Rebuilder, variable: Expr, value: Expr) -> Expr:
        """`value` through int8 where the plan rounds `variable`."""
        q = self.activations.get(variable)
        return value if q is None else r.emit(dequantize(r.emit(quantize(value, q), variable.name + "_q"), q))

    def contraction(self, r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
        """The contraction by int8 weights; the bias that it had none of, where weights are corrected."""
        contraction = contraction_of(expr)
        assert contraction is not None
        w = self.weights[variable]
        q = QuantParams(w.scale, np.zeros(w.scale.shape, np.int32), "int8", contraction.out_axis)
        product = contraction.with_weight(r.emit(dequantize(relax.const(w.integers), q)))
        if variable in self.biased.values() or not w.bias.any():
            return product
        return relax.op.add(r.emit(product), self.bias_operand(r, contraction, w))

    def bias(self, r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
        contraction = contraction_of(self.plan.call(self.biased[variable]))
        assert contraction is not None
        product = next(a for a in expr.args if constant(a) is None)
        return relax.op.add(product, self.bias_operand(r, contraction, self.weights[self.biased[variable]]))

    def bias_operand(self, r: Rebuilder, contraction: Contraction, w: Weights) -> Expr:
        rank = len(contraction.call.args[0].ty.shape)
        integers = w.bias.reshape([-1 if axis == contraction.output_axis else 1 for axis in range(rank)])
        return r.emit(dequantize(relax.const(integers), QuantParams(w.unit, np.zeros(w.unit.shape, np.int32), "int32", contraction.output_axis)))

    def wants_integer_constants(self, variable: Expr, expr: Expr) -> bool:
        """Sums, products and matrix products of a tensor and a constant: both are int8 on one scale each."""
        name = operator_name(expr)
        if name not in CONTRACTIONS | ARITHMETIC or all(constant(a) is None for a in expr.args):
            return False
        return variable not in self.plan.chains[0] and self.plan.reads_integers(variable)

    def constant_operand(self, r: Rebuilder, operand: Expr) -> Expr:
        value = constant(operand)
        if value is None:
            return operand
        q = activation_grid(float(value.min()), float(value.max()))
        scale, zero_point = q.scalar()
        integers = np.clip(np.rint(value / np.float32(scale)) + zero_point, -128, 127).astype(np.int8)
        return r.emit(dequantize(relax.const(integers), q))


def insert_qdq(module: tvm.IRModule, state: InsertQdq) -> tvm.IRModule:
    """The pass: float IRModule (the one that the plan is of) -> IRModule in QDQ form."""
    return rebuild(module, state.visit, begin=state.begin)
