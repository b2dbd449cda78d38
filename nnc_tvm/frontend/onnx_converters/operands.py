"""What the converters share: shapes, constants, optional inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import tvm
from tvm import relax

from nnc_tvm.errors import Unsupported
from nnc_tvm.relay_passes.qdq import dequantized_constant

Expr = Any
Converter = Callable[[relax.BlockBuilder, Sequence[Expr], Mapping[str, Any], onnx.NodeProto], Expr]
"""(builder, inputs as Relax expressions or None, attributes, node) -> expression, or a relax.Tuple of them, or None: TVM's importer knows better."""


def shape_of(expr: Expr) -> list[int]:
    """The static shape of a typed expression."""
    return [int(d) for d in expr.ty.shape]


def array_of(expr: Expr, what: str) -> np.ndarray:
    """The value of a constant operand. Raises Unsupported when it is computed at run time."""
    if not isinstance(expr, tvm.ir.GenericConst):
        raise Unsupported(f"{what} is computed at run time; it must be constant, simplify the model (onnxsim) or export it with fixed sizes")
    return expr.value.numpy()


def real_array_of(bb: relax.BlockBuilder, expr: Expr, what: str) -> np.ndarray:
    """The real values of a constant operand, quantized or not. Raises Unsupported when it is computed at run time."""
    value = dequantized_constant(bb.lookup_binding(expr) if isinstance(expr, tvm.ir.Var) else expr)
    return array_of(expr, what) if value is None else value


def optional(inputs: Sequence[Expr], index: int) -> Expr | None:
    return inputs[index] if index < len(inputs) else None
