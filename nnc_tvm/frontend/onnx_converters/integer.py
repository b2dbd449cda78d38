"""Integer operators without a scale of their own, and quantization by a scale that is computed at run time.

An int32 result is the float contraction of tensors of scale 1, cast: kernels keep their accumulator then.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import tvm
from tvm import relax

from nnc_tvm.errors import Unsupported
from nnc_tvm.frontend.onnx_converters.operands import Converter, Expr, array_of, optional, shape_of
from nnc_tvm.frontend.onnx_converters.windowed import conv
from nnc_tvm.relay_passes.dynamic_calls import parameters_of, quantized, scale_and_zero
from nnc_tvm.relay_passes.graph import operator_name

MOST_SUMS = 1 << 22
CENTRE = {"int8": 0, "uint8": 128}  # the zero point that needs no correction once activations are int8


def _unscaled(bb: relax.BlockBuilder, x: Expr, zero: np.ndarray, axis: int) -> Expr:
    """x - zero as float32."""
    one = np.ones(zero.shape, np.float32)
    return bb.normalize(relax.op.dequantize(x, relax.const(one), relax.const(zero.astype(np.int32)), axis=axis, out_dtype="float32"))


def _weight_zero(inputs: Sequence[Expr]) -> np.ndarray:
    zero = optional(inputs, 3)
    value = np.zeros((), np.int32) if zero is None else array_of(zero, "the weights' zero point").astype(np.int32)
    return value.reshape(()) if value.size == 1 else value.reshape(-1)


def _run_time_zero(inputs: Sequence[Expr], dtype: str) -> tuple[np.ndarray, Expr | None]:
    """(the zero point that the contraction subtracts, the one to correct for or None)."""
    zero = optional(inputs, 2)
    if zero is None:
        return np.zeros((), np.int32), None
    if math.prod(shape_of(zero)) != 1:
        raise Unsupported(f"{math.prod(shape_of(zero))} zero points of an activation; activations have one")
    if isinstance(zero, tvm.ir.GenericConst):
        return array_of(zero, "").astype(np.int32).reshape(()), None
    return np.array(CENTRE[dtype], np.int32), zero


def _corrected(bb: relax.BlockBuilder, acc: Expr, zero: Expr | None, centre: int, sums: np.ndarray) -> Expr:
    """acc - (zero - centre) * sums, int32: `sums` of the weights that each accumulator met."""
    if zero is None:
        return acc
    scalar = bb.normalize(relax.op.reshape(zero, []))
    difference = bb.normalize(relax.op.subtract(bb.normalize(relax.op.astype(scalar, "int32")), relax.const(np.int32(centre))))
    return relax.op.subtract(acc, bb.normalize(relax.op.multiply(relax.const(sums.astype(np.int32)), difference)))


def _reshaped(bb: relax.BlockBuilder, x: Expr, shape: list[int]) -> Expr:
    """`x` in another shape; constants stay constants."""
    if isinstance(x, tvm.ir.GenericConst):
        return relax.const(x.value.numpy().reshape(shape))
    return bb.normalize(relax.op.reshape(x, shape))


def _accumulate(bb: relax.BlockBuilder, product: Expr) -> Expr:
    return bb.normalize(relax.op.astype(bb.normalize(product), "int32"))


def matmul_integer(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """(a - a zero point) @ (b - b zero point) in int32."""
    a, b = inputs[0], inputs[1]
    (left, right), weight_zero = (shape_of(a), shape_of(b)), _weight_zero(inputs)
    result = [*np.broadcast_shapes(left[:-2], right[:-2]), *left[-2:-1], *(right[-1:] if len(right) > 1 else [])]
    zero, correction = _run_time_zero(inputs, str(a.ty.dtype))
    if math.prod(right[:-2]) == 1:  # one matrix for all rows
        a, b = _reshaped(bb, a, [-1, left[-1]]), _reshaped(bb, b, [right[0], 1] if len(right) == 1 else right[-2:])
    elif len(left) == 1:
        a = _reshaped(bb, a, [1, left[0]])
    product = relax.op.matmul(_unscaled(bb, a, zero, 0), _unscaled(bb, b, weight_zero, len(shape_of(b)) - 1))
    acc = _accumulate(bb, product)
    if correction is not None:
        weight = array_of(b, "the right side of MatMulInteger whose left zero point is computed at run time").astype(np.int64) - weight_zero
        acc = bb.normalize(_corrected(bb, acc, correction, int(zero), weight.sum(-2, keepdims=weight.ndim > 2)))
    return acc if shape_of(acc) == result else relax.op.reshape(acc, result)


def conv_integer(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """The convolution of x - x zero point and w - w zero point in int32; beyond the border x is its zero point."""
    x, weight, weight_zero = inputs[0], array_of(inputs[1], "the weights of ConvInteger"), _weight_zero(inputs)
    zero, correction = _run_time_zero(inputs, str(x.ty.dtype))
    operands = [_unscaled(bb, x, zero, 0), _unscaled(bb, inputs[1], weight_zero, 0)]
    acc = _accumulate(bb, conv(bb, operands, attributes, node))
    if correction is None:
        return acc
    centred = weight.astype(np.int64) - weight_zero.reshape(-1, *[1] * (weight.ndim - 1))
    if any(attributes.get("pads", [])) and math.prod(shape_of(acc)) > MOST_SUMS:
        raise Unsupported(f"padding with a zero point computed at run time needs a table of {math.prod(shape_of(acc))} sums; at most {MOST_SUMS} can be stored")
    return _corrected(bb, acc, correction, int(zero), _sums_inside(centred, shape_of(x), shape_of(acc), attributes))


def _sums_inside(weight: np.ndarray, image: list[int], output: list[int], attributes: Mapping[str, Any]) -> np.ndarray:
    """(O, extents of the output, or 1s where all are alike): of each output the sum of the weights that meet the image, not its border."""
    rank = weight.ndim - 2
    per_tap = weight.sum(1)
    pads = [int(p) for p in attributes.get("pads", [0] * 2 * rank)]
    if not any(pads):
        return per_tap.reshape(len(per_tap), -1).sum(1).reshape(-1, *[1] * rank)
    strides, dilations = (list(attributes.get(name, [1] * rank)) for name in ("strides", "dilations"))
    total = per_tap
    for axis in range(rank):  # one axis at a time: whether a tap is inside is a product over the axes
        taps, outputs = weight.shape[2 + axis], output[2 + axis]
        places = np.arange(outputs)[:, None] * strides[axis] + np.arange(taps)[None] * dilations[axis] - pads[axis]
        inside = ((places >= 0) & (places < image[2 + axis])).astype(np.int64)
        total = np.tensordot(total, inside, axes=([1], [1]))
    return total


def dynamic_quantize_linear(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """(y uint8, scale, zero point uint8) by the range of x, which is made to hold 0 (ONNX, DynamicQuantizeLinear)."""
    x = inputs[0]

    def emit(expr: Expr) -> Expr:
        return bb.emit(expr)

    scale, zero = scale_and_zero(emit, x)
    integers = quantized(emit, x, scale, zero)
    # int8 with zero point z is uint8 with z + 128
    unsigned = relax.op.quantize(_unscaled(bb, integers, np.zeros((), np.int32), 0), relax.const(np.float32(1)), relax.const(np.int32(128)), out_dtype="uint8")
    unsigned_zero = relax.op.astype(emit(relax.op.add(zero, relax.const(np.float32(128)))), "uint8")
    return relax.Tuple([emit(unsigned), scale, emit(unsigned_zero)])


def dequantize_linear(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr | None:
    """The reals of what `dynamic_quantize_linear` made, by its own scale and zero point; None for others."""
    def call(expr: Expr | None, name: str) -> Expr | None:
        bound = None if expr is None else call_of(bb, expr)
        return bound if operator_name(bound) == name else None

    def operand(expr: Expr | None) -> Expr | None:
        return None if expr is None else expr.args[0]

    unsigned = call(inputs[0], "relax.quantize")
    integers = operand(call(operand(unsigned), "relax.dequantize"))
    made, shifted = call(integers, "relax.quantize"), call(operand(call(optional(inputs, 2), "relax.astype")), "relax.add")
    if made is None or shifted is None or parameters_of(lambda e: call_of(bb, e), made) is None:
        return None
    own = operand(call(made.args[2], "relax.astype"))
    pairs = ((own, shifted.args[0]), (inputs[1], made.args[1]))
    if any(x is None or not call_of(bb, x).same_as(call_of(bb, y)) for x, y in pairs):
        return None
    return relax.op.dequantize(integers, made.args[1], made.args[2], axis=0, out_dtype="float32")


def call_of(bb: relax.BlockBuilder, expr: Expr) -> Expr:
    """What a variable is bound to, through others."""
    while isinstance(expr, tvm.ir.Var) and (bound := bb.lookup_binding(expr)) is not None:
        expr = bound
    return expr


CONVERTERS: dict[str, Converter] = {
    "ConvInteger": conv_integer, "DequantizeLinear": dequantize_linear, "DynamicQuantizeLinear": dynamic_quantize_linear, "MatMulInteger": matmul_integer,
}
