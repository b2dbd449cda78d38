"""Element-wise functions, and the matrix product with its scales and bias."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import tvm
from tvm import relax

from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.frontend.onnx_converters.operands import Converter, Expr, array_of, optional, real_array_of, shape_of


def clip(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """min(max(x, low), high); an absent bound is infinite. Bounds computed at run time become maximum and minimum."""
    x, low, high = inputs[0], optional(inputs, 1), optional(inputs, 2)
    if all(b is None or isinstance(b, tvm.ir.GenericConst) for b in (low, high)) and str(x.ty.dtype) == "float32":
        bounds = [default if b is None else float(array_of(b, "").reshape(-1)[0]) for b, default in ((low, -math.inf), (high, math.inf))]
        if bounds == [0.0, math.inf]:
            return relax.op.nn.relu(x)
        if bounds[1] == math.inf:
            return relax.op.maximum(x, relax.const(np.float32(bounds[0])))
        if bounds[0] == -math.inf:
            return relax.op.minimum(x, relax.const(np.float32(bounds[1])))
        return relax.op.clip(x, *bounds)
    y = x if low is None else bb.normalize(relax.op.maximum(x, low))
    return y if high is None else relax.op.minimum(y, high)


def batch_normalization(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """x * factor + shift per channel, in inference."""
    gamma, beta, mean, variance = (real_array_of(bb, i, "a batch normalization parameter").astype(np.float64) for i in inputs[1:5])
    if attributes.get("training_mode", 0):
        raise Unsupported("batch normalization in training mode; export the model in inference mode")
    factor = gamma / np.sqrt(variance + attributes.get("epsilon", 1e-5))
    shape = [-1] + [1] * (len(shape_of(inputs[0])) - 2)
    scaled = bb.normalize(relax.op.multiply(inputs[0], relax.const(factor.reshape(shape).astype(np.float32))))
    return relax.op.add(scaled, relax.const((beta - mean * factor).reshape(shape).astype(np.float32)))


def gemm(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """alpha * A @ B + beta * C. alpha multiplies the product, so that A and B may stay integers."""
    a, b = inputs[0], inputs[1]
    if attributes.get("transA", 0):
        a = bb.normalize(relax.op.permute_dims(a, [1, 0]))
    if attributes.get("transB", 0):
        b = bb.normalize(relax.op.permute_dims(b, [1, 0]))
    y = bb.normalize(relax.op.matmul(a, b))
    if (alpha := attributes.get("alpha", 1.0)) != 1.0:
        y = bb.normalize(relax.op.multiply(y, relax.const(np.float32(alpha))))
    c, beta = optional(inputs, 2), attributes.get("beta", 1.0)
    if c is None or beta == 0.0:
        return y
    if beta != 1.0:
        c = bb.normalize(relax.op.multiply(c, relax.const(np.float32(beta))))
    return relax.op.add(y, c)


def prelu(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """x above 0, slope * x below; the slope broadcast as NumPy does."""
    x, slope = inputs[0], inputs[1]
    if isinstance(slope, tvm.ir.GenericConst) and math.prod(shape_of(slope)) == 1:
        return relax.op.nn.leakyrelu(x, float(array_of(slope, "").reshape(-1)[0]))
    below = bb.normalize(relax.op.minimum(x, relax.const(np.float32(0))))
    return relax.op.add(bb.normalize(relax.op.nn.relu(x)), bb.normalize(relax.op.multiply(below, slope)))


def softplus(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """log(1 + exp(x))"""
    return relax.op.nn.softplus(inputs[0])


def mish(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """x * tanh(log(1 + e)) with e = exp(x), which is x * n / (n + 2) with n = e * (e + 2); from x = 20 on that is x."""
    x = inputs[0]
    e = bb.normalize(relax.op.exp(bb.normalize(relax.op.minimum(x, relax.const(np.float32(20))))))
    two = relax.const(np.float32(2))
    n = bb.normalize(relax.op.multiply(e, bb.normalize(relax.op.add(e, two))))
    return relax.op.multiply(x, bb.normalize(relax.op.divide(n, bb.normalize(relax.op.add(n, two)))))


def power(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """x ** y in x's dtype; integers through float32, where they are exact below 2^24."""
    x, y = inputs[0], inputs[1]
    dtype = str(x.ty.dtype)
    base, exponent = (v if str(v.ty.dtype) == "float32" else cast(bb, v, "float32") for v in (x, y))
    result = relax.op.power(base, exponent)
    return result if dtype == "float32" else relax.op.astype(bb.normalize(relax.op.round(bb.normalize(result))), dtype)


def cast(bb: relax.BlockBuilder, x: Expr, dtype: str) -> Expr:
    """x in another dtype; constants stay constants."""
    if isinstance(x, tvm.ir.GenericConst):
        return relax.const(x.value.numpy().astype(dtype))
    return bb.normalize(relax.op.astype(x, dtype))


def one_hot(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """The second of `values` where the new axis's number is the index, else the first; negative indices count from the end."""
    indices, values = inputs[0], array_of(inputs[2], "the values of a one-hot").reshape(-1)
    depth = int(array_of(inputs[1], "the depth of a one-hot").reshape(-1)[0])
    if depth <= 0 or values.size != 2:
        raise InvalidModel(f"a one-hot of depth {depth} with {values.size} values; it has a positive depth and two values")
    rank, dtype = len(shape_of(indices)) + 1, str(indices.ty.dtype)
    axis = attributes.get("axis", -1) % rank
    negative = bb.normalize(relax.op.less(indices, relax.const(0, dtype)))
    counted = bb.normalize(relax.op.where(negative, bb.normalize(relax.op.add(indices, relax.const(depth, dtype))), indices))
    numbers = np.arange(depth).astype(dtype).reshape([-1 if i == axis else 1 for i in range(rank)])
    hot = bb.normalize(relax.op.equal(bb.normalize(relax.op.expand_dims(counted, axis)), relax.const(numbers)))
    return relax.op.where(hot, relax.const(values[1], str(values.dtype)), relax.const(values[0], str(values.dtype)))


def variadic(function: Callable[[Expr, Expr], Expr]) -> Converter:
    """A function of any number of operands, two at a time."""

    def convert(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
        return functools.reduce(lambda a, b: bb.normalize(function(a, b)), inputs)

    return convert


def mean(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """The element-wise mean of the operands."""
    total = variadic(relax.op.add)(bb, inputs, attributes, node)
    return total if len(inputs) == 1 else relax.op.multiply(total, relax.const(np.float32(1 / len(inputs))))


def is_inf(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """Whether x is infinite, of the signs that are asked for."""
    bounds = [math.inf] * int(attributes.get("detect_positive", 1)) + [-math.inf] * int(attributes.get("detect_negative", 1))
    if not bounds:
        return relax.const(np.zeros(shape_of(inputs[0]), np.bool_))
    tests = [bb.normalize(relax.op.equal(inputs[0], relax.const(np.float32(b)))) for b in bounds]
    return functools.reduce(relax.op.logical_or, tests)


def dropout(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """(x, a mask that keeps everything): inference drops nothing."""
    training = optional(inputs, 2)
    if training is not None and np.any(array_of(training, "the training mode of a dropout")):
        raise Unsupported("dropout in training mode; export the model in inference mode")
    mask = relax.const(np.ones(shape_of(inputs[0]), np.bool_))
    return inputs[0] if len(node.output) == 1 else relax.Tuple([inputs[0], mask])


def shrink(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """x + bias below -lambd, x - bias above lambd, 0 between: what x has beyond the bounds on either side, moved by the bias."""
    x, bound, bias = inputs[0], float(attributes.get("lambd", 0.5)), float(attributes.get("bias", 0.0))
    zero = relax.const(np.float32(0))
    below = relax.op.where(bb.normalize(relax.op.less(x, relax.const(np.float32(-bound)))), bb.normalize(relax.op.add(x, relax.const(np.float32(bias)))), zero)
    above = bb.normalize(relax.op.greater(x, relax.const(np.float32(bound))))
    return relax.op.where(above, bb.normalize(relax.op.subtract(x, relax.const(np.float32(bias)))), bb.normalize(below))


CONVERTERS: dict[str, Converter] = {
    "Max": variadic(relax.op.maximum), "Mean": mean, "Min": variadic(relax.op.minimum), "Sum": variadic(relax.op.add),
    "BatchNormalization": batch_normalization, "Clip": clip, "Dropout": dropout, "Gemm": gemm, "IsInf": is_inf,
    "Mish": mish, "OneHot": one_hot, "Pow": power, "PRelu": prelu, "Shrink": shrink, "Softplus": softplus,
}
