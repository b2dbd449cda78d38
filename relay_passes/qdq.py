"""Reading R.quantize and R.dequantize."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax

from nnc_tvm.relay_passes.graph import constant, operator_name
from nnc_tvm.schedules.quantization import QuantParams

Expr = Any


def quantization_of(call: Expr) -> QuantParams | None:
    """The parameters of a quantize or dequantize call; None for other expressions and for parameters that are not constant."""
    name = operator_name(call)
    if name not in ("relax.quantize", "relax.dequantize"):
        return None
    scale, zero = constant(call.args[1]), constant(call.args[2])
    if scale is None or zero is None:
        return None
    dtype = str(call.attrs.out_dtype) if name == "relax.quantize" else str(call.args[0].ty.dtype)
    scale, zero = scale.astype(np.float32), zero.astype(np.int32)
    if scale.size == 1:
        scale, zero = scale.reshape(()), zero.reshape(-1)[0].reshape(()) if zero.size else np.zeros((), np.int32)
    else:
        zero = np.broadcast_to(zero, scale.shape)
    # one scale has no axis: the tensor may be reshaped to a rank that does not have it
    axis = int(call.attrs.axis) % max(len(call.args[0].ty.shape), 1) if scale.size > 1 else 0
    return QuantParams(scale, zero, dtype, axis)


def dequantized_constant(call: Expr) -> np.ndarray | None:
    """The float32 values of the dequantize of a constant, as run time would compute them; None for other expressions."""
    q = quantization_of(call)
    value = constant(call.args[0]) if q is not None and operator_name(call) == "relax.dequantize" else None
    if q is None or value is None:
        return None
    shape = [1] * value.ndim
    if not q.per_tensor:
        shape[q.axis] = -1
    return np.asarray((value.astype(np.int64) - q.zero_point.reshape(shape)).astype(np.float32) * q.scale.reshape(shape)).reshape(value.shape)


def same_quantization(a: QuantParams, b: QuantParams) -> bool:
    """Whether two tensors stand for the same reals element by element."""
    return a.dtype == b.dtype and a.scale.shape == b.scale.shape and bool(np.all(a.scale == b.scale) and np.all(a.zero_point == b.zero_point))


def quantize(x: Expr, q: QuantParams) -> Expr:
    """R.quantize of x by q."""
    return relax.op.quantize(x, relax.const(q.scale), relax.const(q.zero_point.astype(np.int32)), axis=q.axis, out_dtype=q.dtype)


def dequantize(x: Expr, q: QuantParams) -> Expr:
    """R.dequantize of x by q."""
    return relax.op.dequantize(x, relax.const(q.scale), relax.const(q.zero_point.astype(np.int32)), axis=q.axis, out_dtype="float32")


def shifted_to_int8(q: QuantParams) -> QuantParams:
    """uint8 parameters for the same reals held as int8; others as they are."""
    return QuantParams(q.scale, q.zero_point - 128, "int8", q.axis) if q.dtype == "uint8" else q
