"""What the converters share: shapes, constants, optional inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import tvm
from tvm import relax

from nnc_tvm.errors import Unsupported

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


def optional(inputs: Sequence[Expr], index: int) -> Expr | None:
    return inputs[index] if index < len(inputs) else None
