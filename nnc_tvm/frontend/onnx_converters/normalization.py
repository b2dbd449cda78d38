"""Normalizations over axes of one tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from tvm import relax

from nnc_tvm.frontend.group_norm import group_norm
from nnc_tvm.frontend.onnx_converters.operands import Converter, Expr, optional, shape_of


def layer_normalization(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """(y, mean, 1 / standard deviation) over the axes from `axis` on: y = (x - mean) / sqrt(variance + epsilon) * scale + bias."""
    x, scale, bias = inputs[0], inputs[1], optional(inputs, 2)
    rank = len(shape_of(x))
    axes, epsilon = list(range(attributes.get("axis", -1) % rank, rank)), attributes.get("epsilon", 1e-5)
    extents = [shape_of(x)[a] for a in axes]

    def emit(expr: Expr) -> Expr:
        return bb.normalize(expr)

    if shape_of(scale) == extents and (bias is None or shape_of(bias) == extents):
        y = emit(relax.op.nn.layer_norm(x, scale, relax.const(np.zeros(extents, np.float32)) if bias is None else bias, axes, epsilon))
    else:  # scale and bias that broadcast
        ones, zeros = (relax.const(np.full(extents, v, np.float32)) for v in (1, 0))
        y = emit(relax.op.multiply(emit(relax.op.nn.layer_norm(x, ones, zeros, axes, epsilon)), scale))
        y = y if bias is None else emit(relax.op.add(y, bias))
    if len(node.output) == 1:
        return y
    mean = emit(relax.op.mean(x, axes, keepdims=True))
    centred = emit(relax.op.subtract(x, mean))
    variance = emit(relax.op.mean(emit(relax.op.multiply(centred, centred)), axes, keepdims=True))
    deviation = emit(relax.op.sqrt(emit(relax.op.add(variance, relax.const(np.float32(epsilon))))))
    return relax.Tuple([y, mean, emit(relax.op.divide(relax.const(np.float32(1)), deviation))][: len(node.output)])


def group_normalization(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """Each group of channels as one row, normalized; then scale and bias per channel, or per group before opset 21."""
    scale, bias = inputs[1:3]
    return group_norm(bb.normalize, inputs[0], attributes["num_groups"], scale, bias, attributes.get("epsilon", 1e-5))


def rms_normalization(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """x / sqrt(mean of x^2 + epsilon) * scale, the mean over the axes from `axis` on."""
    x, scale = inputs[0], inputs[1]
    rank = len(shape_of(x))
    axes = list(range(attributes.get("axis", -1) % rank, rank))
    squares = bb.normalize(relax.op.mean(bb.normalize(relax.op.multiply(x, x)), axes, keepdims=True))
    root = bb.normalize(relax.op.sqrt(bb.normalize(relax.op.add(squares, relax.const(np.float32(attributes.get("epsilon", 1e-5)))))))
    return relax.op.multiply(bb.normalize(relax.op.divide(x, root)), scale)


def lp_normalization(bb: relax.BlockBuilder, inputs: Sequence[Expr], attributes: Mapping[str, Any], node: onnx.NodeProto) -> Expr:
    """x divided by its L1 or L2 norm along `axis`; 0 where that is 0."""
    x, axis = inputs[0], attributes.get("axis", -1)
    if attributes.get("p", 2) == 1:
        norm = bb.normalize(relax.op.sum(bb.normalize(relax.op.abs(x)), [axis], keepdims=True))
    else:
        squares = bb.normalize(relax.op.sum(bb.normalize(relax.op.multiply(x, x)), [axis], keepdims=True))
        norm = bb.normalize(relax.op.sqrt(squares))
    # x is 0 wherever its norm is
    tiny = relax.const(np.finfo(np.float32).tiny)
    return relax.op.divide(x, bb.normalize(relax.op.maximum(norm, tiny)))


CONVERTERS: dict[str, Converter] = {
    "GroupNormalization": group_normalization, "LayerNormalization": layer_normalization, "LpNormalization": lp_normalization,
    "RMSNormalization": rms_normalization,
}
