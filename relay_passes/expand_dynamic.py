"""Contractions of dynamically quantized activations with quantized weights become sums of integers, rescaled.

conv2d(dequantize(q, scale, zero), dequantize(w)) is "nnc.dynamic_rescale" of the int32 contraction of q, with borders of the zero point, and
w. Quantization of one tensor for several readers is computed once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax

from nnc_tvm.relay_passes.composites.contraction import SUMS
from nnc_tvm.relay_passes.composites.match import broadcastable
from nnc_tvm.relay_passes.dynamic_calls import PAD, PARAMETERS, RESCALE, SYMMETRIC, packed_name, parameters_of
from nnc_tvm.relay_passes.graph import Rebuilder, call_with, constant, operator_name, rebuild, tensor_type
from nnc_tvm.relay_passes.qdq import dequantize, quantization_of
from nnc_tvm.schedules.quantization import QuantParams

Expr = Any
LARGEST_SUM = (1 << 31) - 1
UNIT = QuantParams(np.ones((), np.float32), np.zeros((), np.int32), "int8", 0)
ONCE = frozenset({"relax.quantize", "relax.strided_slice", "relax.reshape", "relax.astype"})


class ExpandDynamic:
    """State: what was computed from which operands."""

    def __init__(self) -> None:
        self.computed: dict[Any, Expr] = {}

    def visit(self, r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
        if packed_name(expr) in (PARAMETERS, SYMMETRIC):
            return self.once(r, variable, expr, (packed_name(expr), expr.args[1], tensor_type(variable).shape))
        if operator_name(expr) in ONCE and self.from_parameters(r, expr):
            return self.once(r, variable, expr, (operator_name(expr), *expr.args[:3], str(variable.ty)))
        made = expanded(r, variable, expr) if operator_name(expr) in SUMS else None
        return expr if made is None else made

    def from_parameters(self, r: Rebuilder, expr: Expr) -> bool:
        """Whether it is a slice of parameters, or a quantize by them."""
        return parameters_of(r.definition, expr) is not None or (operator_name(expr) != "relax.quantize" and expr.args[0] in self.computed.values())

    def once(self, r: Rebuilder, variable: Expr, expr: Expr, key: tuple[Any, ...]) -> Expr:
        key = tuple(part if isinstance(part, tvm.ir.Var) else str(part) for part in key)
        if key not in self.computed:
            self.computed[key] = r.emit(expr, variable.name)
        return self.computed[key]


def expanded(r: Rebuilder, variable: Expr, call: Expr) -> Expr | None:
    """The contraction's result from integers; None where an operand is not quantized as that needs."""
    x, w = r.definition(call.args[0]), r.definition(call.args[1])
    parameters, q = parameters_of(r.definition, x) if operator_name(x) == "relax.dequantize" else None, quantization_of(w)
    values = constant(w.args[0]) if q is not None and operator_name(w) == "relax.dequantize" else None
    if parameters is None or q is None or values is None or values.dtype not in (np.int8, np.uint8):
        return None
    axis = channel_axis(call, values)
    if axis is None or (not q.per_tensor and q.axis != axis) or not by_rows(call, tensor_type(parameters).shape[1]):
        return None
    centred = values.astype(np.int64) - broadcastable(q, values.ndim)[1]
    others = tuple(i for i in range(values.ndim) if i != axis)
    if 255 * np.abs(centred).sum(others).max() > LARGEST_SUM:
        return None
    integers, channels = x.args[0], values.shape[axis]
    symmetric = packed_name(r.definition(parameters)) == SYMMETRIC  # zero points are 0, as borders are
    if operator_name(call) == "relax.nn.conv2d" and not symmetric:
        integers, call = unpadded(r, integers, parameters, call)
    one = QuantParams(np.ones_like(q.scale), q.zero_point, q.dtype, q.axis)
    product = r.emit(call_with(call, [r.emit(dequantize(integers, UNIT)), r.emit(dequantize(w.args[0], one))]))
    acc = r.emit(relax.op.astype(product, "int32"))
    sums = np.zeros(channels) if symmetric else centred.sum(others)
    scale = np.broadcast_to(q.scale.astype(np.float32), (channels,))
    arguments = [acc, parameters, relax.const(np.ascontiguousarray(scale)), relax.const(sums.astype(np.int32))]
    return relax.call_pure_packed(RESCALE, *arguments, ty_args=[variable.ty])


def channel_axis(call: Expr, weights: np.ndarray) -> int | None:
    """The axis of the weights along which the output channels, the result's last axis, lie."""
    if operator_name(call) == "relax.matmul":
        return 1 if weights.ndim == 2 else None
    return str(call.attrs.kernel_layout).index("O") if str(call.attrs.data_layout) == "NHWC" else None


def by_rows(call: Expr, rows: int) -> bool:
    """Whether the parameters' rows are leading extents of the operand and so of the result."""
    return rows == 1 or tensor_type(call.args[0]).shape[0] == rows


def unpadded(r: Rebuilder, integers: Expr, parameters: Expr, call: Expr) -> tuple[Expr, Expr]:
    """(integers with the convolution's borders, the convolution without)."""
    a, padding = call.attrs, [int(p) for p in call.attrs.padding]
    if not any(padding):
        return integers, call
    n, h, w, c = tensor_type(integers).shape
    top, left, bottom, right = padding
    kind = relax.TensorType((n, h + top + bottom, w + left + right, c), "int8")
    integers = r.emit(relax.call_pure_packed(PAD, integers, parameters, *(relax.prim_value(p) for p in padding), ty_args=[kind]))
    return integers, relax.op.nn.conv2d(call.args[0], call.args[1], strides=list(a.strides), padding=0, dilation=list(a.dilation), groups=int(a.groups),
                                        data_layout="NHWC", kernel_layout=str(a.kernel_layout), out_layout="NHWC")


def expand_dynamic(module: tvm.IRModule) -> tvm.IRModule:
    """The pass: IRModule -> IRModule, the same meaning but for the roundings of a float sum. Reads convolutions in NHWC."""
    # the dequantizes that are left unread would count as readers of the integers
    return relax.transform.DeadCodeElimination(["main"])(rebuild(module, ExpandDynamic().visit))
