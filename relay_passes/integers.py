"""The integers that QDQ graphs are rewritten to, as canonicalize_qdq makes them: which they are, and of what quantization."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax

from nnc_tvm.relay_passes.graph import Rebuilder, constant, operator_name
from nnc_tvm.relay_passes.moves import quantization_behind
from nnc_tvm.relay_passes.qdq import dequantize, dequantized_constant, quantization_of, quantize, same_quantization, shifted_to_int8
from nnc_tvm.schedules.quantization import RANGES, QuantParams

Expr = Any


def constant_reals(definition: Expr) -> np.ndarray | None:
    """float32 values of a constant, dequantized or not; None for anything else."""
    value = constant(definition)
    return value.astype(np.float32) if value is not None else dequantized_constant(definition)


class Integers:
    """quantized: the quantization of every integer variable that was made. doors: the inputs of the model that were seen, as int8."""

    def __init__(self) -> None:
        self.quantized: dict[Any, QuantParams] = {}
        self.doors: dict[Any, Expr] = {}

    def remember(self, variable: Expr, q: QuantParams) -> Expr:
        self.quantized[variable] = q
        return variable

    def door(self, r: Rebuilder, parameter: Expr) -> Expr:
        """An input of the model; a uint8 one that something dequantizes as int8."""
        if parameter not in self.doors:
            q = quantization_behind(r.graph, parameter) if str(parameter.ty.dtype) == "uint8" else None
            self.doors[parameter] = parameter
            if q is not None:
                shifted = shifted_to_int8(q)
                self.doors[parameter] = self.remember(r.emit(quantize(r.emit(dequantize(parameter, q)), shifted)), shifted)
        return self.doors[parameter]

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

    def as_before(self, r: Rebuilder, shifted: Expr) -> Expr:
        """The uint8 tensor that is int8 by now."""
        q = self.quantized[shifted]
        return r.emit(quantize(r.emit(dequantize(shifted, q)), QuantParams(q.scale, q.zero_point + 128, "uint8", q.axis)))
