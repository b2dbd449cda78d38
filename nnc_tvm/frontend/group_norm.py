"""Group normalization by reductions: TVM's own operator has loops that no schedule sees into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import relax

from nnc_tvm.errors import InvalidModel

Expr = Any


def group_norm(emit: Callable[[Expr], Expr], x: Expr, groups: int, scale: Expr | None, bias: Expr | None, epsilon: float) -> Expr:
    """(x - mean) / sqrt(variance + epsilon) * scale + bias, mean and variance of each group of channels of each image.

    x: (N, C, ...) float32. scale, bias: (C,) or (groups,), None for 1 and 0. Raises InvalidModel where the groups do not divide C.
    """
    shape = [int(d) for d in x.ty.shape]
    batch, channels = shape[:2]
    if groups <= 0 or channels % groups:
        raise InvalidModel(f"{channels} channels in {groups} groups")
    rows = emit(relax.op.reshape(x, [batch, groups, -1]))
    centred = emit(relax.op.subtract(rows, emit(relax.op.mean(rows, [-1], keepdims=True))))
    variance = emit(relax.op.mean(emit(relax.op.multiply(centred, centred)), [-1], keepdims=True))
    deviation = emit(relax.op.sqrt(emit(relax.op.add(variance, relax.const(np.float32(epsilon))))))
    y = emit(relax.op.divide(centred, deviation))
    for operator, parameter in ((relax.op.multiply, scale), (relax.op.add, bias)):
        if parameter is not None:
            count = int(parameter.ty.shape[0])
            y = emit(operator(emit(relax.op.reshape(y, [batch, count, -1])), emit(relax.op.reshape(parameter, [1, count, 1]))))
    return emit(relax.op.reshape(y, shape))
