"""Factors per channel moved from one contraction to the next: the network computes the same, but its tensors round better.

relu(a / s) * s = relu(a) for s > 0, so whatever makes a tensor can be divided by s per channel, where all that reads it multiplies its
weights by s. Who chooses s: equalize.py (from weights), smooth.py (from activations).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from tvm import relax

from nnc_tvm.quantize.contraction import Contraction, contraction_of
from nnc_tvm.quantize.plan import Plan
from nnc_tvm.relay_passes.graph import Rebuilder, call_with, constant, operator_name, rebuild

Expr = Any
# f(s * x) = s * f(x) for s > 0, channel by channel
HOMOGENEOUS = frozenset({"relax.nn.relu", "relax.nn.leakyrelu", "relax.nn.max_pool2d", "relax.nn.avg_pool2d"})
LARGEST_FACTOR = 1e4


@dataclass(frozen=True, eq=False)
class Site:
    """tensor: what is divided. makers: the bindings whose constants are divided. axis: its channels. consumers: variables of contractions."""

    tensor: Expr
    makers: tuple[Expr, ...]
    axis: int
    consumers: tuple[Expr, ...]


def makers_of(plan: Plan, tensor: Expr, axis: int) -> tuple[Expr, ...]:
    """The bindings whose constants together divide `tensor` per channel; () where there are none."""
    call = plan.call(tensor)
    name = operator_name(call)
    contraction = contraction_of(call)
    if contraction is not None:
        return (tensor,) if contraction.output_axis == axis else ()
    rank = len(tensor.ty.shape)
    if name == "relax.nn.layer_norm":
        return (tensor,) if [int(a) % rank for a in call.attrs.axes] == [axis] and all(constant(a) is not None for a in call.args[1:3]) else ()
    inner = [a for a in getattr(call, "args", ()) if constant(a) is None]
    if name not in ("relax.add", "relax.multiply") or len(inner) != 1 or not isinstance(inner[0], tvm.ir.Var):
        return ()
    if [int(d) for d in inner[0].ty.shape] != [int(d) for d in tensor.ty.shape]:
        return ()
    if name == "relax.multiply":
        return (tensor,)
    before = makers_of(plan, inner[0], axis) if plan.sole_reader(inner[0]) is not None else ()
    return (*before, tensor) if before else ()


def consumers_of(plan: Plan, tensor: Expr, axis: int) -> tuple[Expr, ...] | None:
    """The contractions that alone read `tensor`, through what keeps factors; None where something else does."""
    if tensor in plan.results:
        return None
    found: tuple[Expr, ...] = ()
    for reader in plan.readers.get(tensor, ()):
        call = plan.call(reader)
        contraction = contraction_of(call)
        if contraction is not None:
            further: tuple[Expr, ...] | None = (reader,) if contraction.input_axis == axis else None
        else:
            further = consumers_of(plan, reader, axis) if operator_name(call) in HOMOGENEOUS else None
        if further is None:
            return None
        found += further
    return found or None


def sites(plan: Plan) -> list[Site]:
    """Where factors can move, in order."""
    found = []
    for tensor in plan.graph.definitions:
        shape = getattr(tensor.ty, "shape", None)
        if shape is None or tensor in plan.absorbed and operator_name(plan.call(plan.absorbed[tensor])) == "relax.add":
            continue
        for axis in {1, len(shape) - 1}:
            makers = makers_of(plan, tensor, axis)
            consumers = consumers_of(plan, tensor, axis) if makers else None
            if consumers:
                found.append(Site(tensor, makers, axis, consumers))
                break
    return found


class Factors:
    """What every contraction's weights and every maker's constants are multiplied by."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.weights: dict[Expr, np.ndarray] = {}  # float64, of the contractions that changed
        self.divided: dict[Expr, np.ndarray] = {}  # constants of additions, products and layer normalizations, by their binding
        self.axes: dict[Expr, int] = {}  # of the channels of those bindings

    def contraction(self, variable: Expr) -> Contraction:
        found = contraction_of(self.plan.call(variable))
        assert found is not None
        return found

    def weight(self, variable: Expr) -> np.ndarray:
        """The weights as they are now, float64."""
        return self.weights.get(variable, self.contraction(variable).weight.astype(np.float64))

    def move(self, site: Site, factors: np.ndarray) -> None:
        """Divides the site's tensor by `factors` (channels,), and makes its consumers multiply by them."""
        factors = np.clip(np.where(np.isfinite(factors) & (factors > 0), factors, 1.0), 1 / LARGEST_FACTOR, LARGEST_FACTOR)
        for maker in site.makers:
            if contraction_of(self.plan.call(maker)) is not None:
                self.weights[maker] = self.weight(maker) / self.contraction(maker).along_outputs(factors)
            else:
                self.divided[maker] = self.divided.get(maker, np.ones(len(factors))) * factors
                self.axes[maker] = site.axis
        for consumer in site.consumers:
            self.weights[consumer] = self.weight(consumer) * self.contraction(consumer).along_inputs(factors)

    def visit(self, r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
        if variable in self.weights:
            return call_with(expr, [expr.args[0], relax.const(self.weights[variable].astype(np.float32)), *expr.args[2:]])
        if variable not in self.divided:
            return expr
        along = self.divided[variable]
        if operator_name(expr) != "relax.nn.layer_norm":
            along = along.reshape([-1 if a == self.axes[variable] else 1 for a in range(len(variable.ty.shape))])
        scaled = [a if constant(a) is None else relax.const((constant(a) / along).astype(np.float32)) for a in expr.args]
        return call_with(expr, scaled)

    def apply(self, module: tvm.IRModule) -> tvm.IRModule:
        """The pass: IRModule (the plan's) -> IRModule, the same meaning up to float rounding."""
        return rebuild(module, self.visit)
