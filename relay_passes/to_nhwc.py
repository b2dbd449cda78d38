"""Images channels-last: operators in NCHW are computed in NHWC, the layout changes once at the door and where something insists on NCHW.

Each result keeps both faces: the NHWC tensor and a transpose back that later passes drop when nobody reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tvm
from tvm import relax

from nnc_tvm.relay_passes.dynamic_calls import PARAMETERS, SYMMETRIC, packed_name
from nnc_tvm.relay_passes.graph import Rebuilder, call_with, constant, operator_name, rebuild
from nnc_tvm.relay_passes.qdq import dequantize, quantization_of
from nnc_tvm.schedules.quantization import QuantParams

Expr = Any
TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)

ELEMENTWISE = frozenset(f"relax.{n}" for n in (
    "add", "subtract", "multiply", "divide", "maximum", "minimum", "power", "clip", "sigmoid", "tanh", "exp", "sqrt", "rsqrt", "abs", "negative", "erf", "log",
    "floor", "ceil", "round", "greater", "less", "where", "astype", "nn.relu", "nn.relu6", "nn.leakyrelu", "nn.gelu", "nn.silu", "quantize", "dequantize",
))


class ToNhwc:
    """State: the NHWC face of each NCHW variable."""

    def __init__(self) -> None:
        self.channels_last: dict[Any, Expr] = {}

    def nhwc(self, r: Rebuilder, x: Expr) -> Expr | None:
        """`x` (rank 4, NCHW) channels-last; constants of lower rank are broadcast by NumPy's rule; None where that cannot be."""
        value = constant(x)
        if value is not None:
            if value.ndim == 0:
                return x
            return relax.const(value.reshape((1,) * (4 - value.ndim) + value.shape).transpose(TO_NHWC)) if value.ndim <= 4 else None
        if len(x.ty.shape) != 4:
            return x if len(x.ty.shape) == 0 else self.lower_rank(r, x)
        if x not in self.channels_last:
            inner = r.definition(x)
            if operator_name(inner) == "relax.permute_dims" and tuple(int(a) for a in inner.attrs.axes) == TO_NCHW:
                self.channels_last[x] = inner.args[0]
            elif operator_name(inner) == "relax.dequantize":
                self.channels_last[x] = r.emit(self.elementwise_call(r, inner))
            else:
                self.channels_last[x] = r.emit(relax.op.permute_dims(x, TO_NHWC))
        return self.channels_last[x]

    def lower_rank(self, r: Rebuilder, x: Expr) -> Expr | None:
        """A dequantized constant of rank below 4, broadcast and transposed."""
        inner = r.definition(x)
        q, value = quantization_of(inner), constant(inner.args[0]) if operator_name(inner) == "relax.dequantize" else None
        if q is None or value is None:
            return None
        lead = 4 - value.ndim
        axis = TO_NHWC.index(q.axis + lead)
        moved = value.reshape((1,) * lead + value.shape).transpose(TO_NHWC)
        return r.emit(dequantize(relax.const(moved), QuantParams(q.scale, q.zero_point, q.dtype, axis)))

    def elementwise_call(self, r: Rebuilder, call: Expr) -> Expr:
        """The call on channels-last operands; quantization axes follow."""
        name = operator_name(call)
        if name in ("relax.quantize", "relax.dequantize"):
            q = quantization_of(call)
            axis = int(call.attrs.axis) % 4 if q is None or not q.per_tensor else 0
            make = relax.op.quantize if name == "relax.quantize" else relax.op.dequantize
            return make(self.nhwc(r, call.args[0]), call.args[1], call.args[2], axis=TO_NHWC.index(axis), out_dtype=str(call.attrs.out_dtype))
        return call_with(call, [self.nhwc(r, a) if _is_tensor(a) else a for a in call.args])

    def both_faces(self, r: Rebuilder, variable: Expr, call: Expr) -> Expr:
        last = r.emit(call, variable.name)
        first = r.emit(relax.op.permute_dims(last, TO_NCHW))
        self.channels_last[first] = last
        return first

    def visit(self, r: Rebuilder, variable: Expr, expr: Expr) -> Expr:
        name = operator_name(expr)
        if name == "relax.mean" and not bool(expr.attrs.keepdims) and _reads_channels_last(self, expr):
            axes = {int(a) % 4 for a in expr.attrs.axis or range(4)}
            if axes >= {2, 3}:  # what is left is in the same order on both faces
                return relax.op.mean(self.channels_last[expr.args[0]], axis=sorted(TO_NHWC.index(a) for a in axes), keepdims=False)
        if packed_name(expr) in (PARAMETERS, SYMMETRIC) and expr.args[1] in self.channels_last:  # a range, of images or of all, knows no layout
            return call_with(expr, [expr.args[0], self.channels_last[expr.args[1]]])
        if name in LAYOUT_RULES:
            last = LAYOUT_RULES[name](self, r, expr)
            return expr if last is None else self.both_faces(r, variable, last)
        if name == "relax.permute_dims" and expr.args[0] in self.channels_last and tuple(int(a) for a in expr.attrs.axes or ()) == TO_NHWC:
            return self.channels_last[expr.args[0]]
        if name == "relax.permute_dims" and len(variable.ty.shape) == 4 and tuple(int(a) for a in expr.attrs.axes or ()) == TO_NCHW:
            first = r.emit(expr, variable.name)
            self.channels_last[first] = expr.args[0]
            return first
        if name == "relax.reshape" and expr.args[0] in self.channels_last and len(expr.args[0].ty.shape) == 4:
            n, c, h, w = (int(d) for d in expr.args[0].ty.shape)
            if h * w == 1 or c == 1:  # the same order of elements on both faces
                return call_with(expr, [self.channels_last[expr.args[0]], *expr.args[1:]])
        tensors = [a for a in getattr(expr, "args", ()) if _is_tensor(a)]
        if name in ELEMENTWISE and len(variable.ty.shape) == 4 and any(a in self.channels_last for a in tensors if isinstance(a, tvm.ir.Var)):
            operands = [self.nhwc(r, a) for a in tensors]
            if all(o is not None for o in operands):
                return self.both_faces(r, variable, self.elementwise_call(r, expr))
        return expr


def _is_tensor(expr: Expr) -> bool:
    return isinstance(expr, tvm.ir.GenericConst) or (isinstance(expr, tvm.ir.Var) and hasattr(expr.ty, "shape"))


def _conv2d(state: ToNhwc, r: Rebuilder, call: Expr) -> Expr | None:
    a = call.attrs
    if a.data_layout != "NCHW":
        return None
    return relax.op.nn.conv2d(state.nhwc(r, call.args[0]), call.args[1], strides=list(a.strides), padding=list(a.padding), dilation=list(a.dilation),
                              groups=int(a.groups), data_layout="NHWC", kernel_layout=str(a.kernel_layout), out_layout="NHWC")


def _pool(make: Callable[..., Expr]) -> Callable[[ToNhwc, Rebuilder, Expr], Expr | None]:
    def rule(state: ToNhwc, r: Rebuilder, call: Expr) -> Expr | None:
        a = call.attrs
        if a.layout != "NCHW":
            return None
        return make(state.nhwc(r, call.args[0]), pool_size=list(a.pool_size), strides=list(a.strides), padding=list(a.padding), dilation=list(a.dilation),
                    ceil_mode=bool(a.ceil_mode), count_include_pad=bool(a.count_include_pad), layout="NHWC", out_layout="NHWC")

    return rule


def _reduce_mean(state: ToNhwc, r: Rebuilder, call: Expr) -> Expr | None:
    x = call.args[0]
    if len(x.ty.shape) != 4 or not bool(call.attrs.keepdims) or call.attrs.axis is None:
        return None
    return relax.op.mean(state.nhwc(r, x), axis=sorted(TO_NHWC.index(int(i) % 4) for i in call.attrs.axis), keepdims=True)


def _reads_channels_last(state: ToNhwc, call: Expr) -> bool:
    return isinstance(call.args[0], tvm.ir.Var) and call.args[0] in state.channels_last and len(call.args[0].ty.shape) == 4


def _pad(state: ToNhwc, r: Rebuilder, call: Expr) -> Expr | None:
    if not _reads_channels_last(state, call):
        return None
    width = [int(w) for w in call.attrs.pad_width]
    permuted = [w for axis in TO_NHWC for w in width[2 * axis:2 * axis + 2]]
    return relax.op.nn.pad(state.nhwc(r, call.args[0]), permuted, pad_mode=str(call.attrs.pad_mode), pad_value=float(call.attrs.pad_value))


def _strided_slice(state: ToNhwc, r: Rebuilder, call: Expr) -> Expr | None:
    if not _reads_channels_last(state, call):
        return None
    axes = relax.Tuple([relax.prim_value(TO_NHWC.index(int(a.value) % 4)) for a in call.args[1].fields])
    return call_with(call, [state.nhwc(r, call.args[0]), axes, *call.args[2:]])


def _concat(state: ToNhwc, r: Rebuilder, call: Expr) -> Expr | None:
    fields = list(call.args[0].fields) if isinstance(call.args[0], relax.Tuple) else []
    if not any(f in state.channels_last for f in fields if isinstance(f, tvm.ir.Var)):
        return None
    return relax.op.concat([state.nhwc(r, f) for f in fields], axis=TO_NHWC.index(int(call.attrs.axis) % 4))


def _resize2d(state: ToNhwc, r: Rebuilder, call: Expr) -> Expr | None:
    a = call.attrs
    if a.layout != "NCHW":
        return None
    return relax.op.image.resize2d(state.nhwc(r, call.args[0]), call.args[1], roi=list(a.roi), layout="NHWC", method=str(a.method),
                                   coordinate_transformation_mode=str(a.coordinate_transformation_mode), rounding_method=str(a.rounding_method),
                                   cubic_alpha=float(a.cubic_alpha), cubic_exclude=int(a.cubic_exclude), extrapolation_value=float(a.extrapolation_value))


def _adaptive_pool(state: ToNhwc, r: Rebuilder, call: Expr) -> Expr | None:
    a = call.attrs
    if a.layout != "NCHW":
        return None
    size = list(a.output_size) if a.output_size is not None else None
    return relax.op.nn.adaptive_avg_pool2d(state.nhwc(r, call.args[0]), output_size=size, layout="NHWC", out_layout="NHWC")


LAYOUT_RULES: dict[str, Callable[[ToNhwc, Rebuilder, Expr], Expr | None]] = {
    "relax.nn.conv2d": _conv2d,
    "relax.nn.max_pool2d": _pool(relax.op.nn.max_pool2d),
    "relax.nn.avg_pool2d": _pool(relax.op.nn.avg_pool2d),
    "relax.nn.adaptive_avg_pool2d": _adaptive_pool,
    "relax.mean": _reduce_mean,
    "relax.concat": _concat,
    "relax.image.resize2d": _resize2d,
    "relax.nn.pad": _pad,
    "relax.strided_slice": _strided_slice,
}


def to_nhwc(module: tvm.IRModule) -> tvm.IRModule:
    """The pass: IRModule -> IRModule, the same meaning; inputs and outputs keep the model's layout."""
    # faces that nobody reads would count as readers
    return relax.transform.DeadCodeElimination(["main"])(rebuild(module, ToNhwc().visit))
