"""Depthwise convolution on every CPU: channels are the vector axis, and rows of taps are summed by dot-product instructions.

acc[n, i, j, c] = sum over q, kw, e of x[n, i / r * r * sh + (q * depth + e) * dh, j * sw + kw * dw, c] * w[i % r, q, kw, c, e]

r output rows share the image rows they read, (r - 1) * sh + KH of them, rounded up to the instruction's depth: each output row has
zero weights for those that it does not touch. The image is copied first where it needs a border, more rows or columns than it has,
or other channels than its own (channel multipliers, counts that fill no vector); the kernel itself has no conditions on the image.
"""

from __future__ import annotations

import math
from typing import Any

from tvm import s_tir, te, tirx

from nnc_tvm.schedules.arithmetic import const
from nnc_tvm.schedules.candidates import Candidate, Selection, select
from nnc_tvm.schedules.intrin.taps import TapProduct
from nnc_tvm.schedules.loops import round_up, vectorize_parts
from nnc_tvm.schedules.operators import DepthwiseConv2d, Operator, TensorType
from nnc_tvm.schedules.operators.operator import ITEM_BYTES
from nnc_tvm.schedules.rule import Choose, Stage, choose_default
from nnc_tvm.schedules.rules.at_run_time import at_run_time, prepared, rows_of
from nnc_tvm.schedules.rules.contraction_plan import COPY_COST
from nnc_tvm.schedules.rules.depthwise_kernel import constants_of, depthwise_kernel, extent
from nnc_tvm.schedules.rules.depthwise_plan import Tile, best_instruction, choose_tile, estimated_cost, packed_bytes
from nnc_tvm.schedules.rules.input_patches import padded_copy
from nnc_tvm.schedules.rules.nibbles import UNPACK_COST, fit, pack, unpack_kernel

Expr = Any


def stages(operator: Operator, target: Any, choose: Choose) -> Selection | None:
    """The rule for DepthwiseConv2d, integer and float."""
    made = candidates(operator, target) if isinstance(operator, DepthwiseConv2d) else []
    return select(made, target.optimize, choose) if made else None


def candidates(operator: DepthwiseConv2d, target: Any) -> list[Candidate]:
    """The forms that `target` allows, the dense one first."""
    isa = best_instruction(operator, target.features)
    if isa is None:
        return []
    made = prepared(operator)
    assert isinstance(made, DepthwiseConv2d)
    tile = choose_tile(operator, isa, choose_default)
    image, copied = image_read(operator, tile)
    cost, weights = estimated_cost(operator, tile) + copied * math.prod(image) * COPY_COST, packed_bytes(operator, tile)
    elements = weights // ITEM_BYTES[isa.weight_dtype]
    forms = [Candidate("dense", cost, weights, lambda choose: build(made, isa, target, choose, packed=False))]
    if "int4" in target.forms and "portable" not in target.features and fit(operator.weight):
        forms.append(Candidate("int4", cost + elements * UNPACK_COST, -(-elements // 2), lambda choose: build(made, isa, target, choose, packed=True)))
    return [at_run_time(operator, candidate, target) for candidate in forms]


def build(operator: DepthwiseConv2d, isa: TapProduct, target: Any, choose: Choose, packed: bool) -> tuple[Stage, ...]:
    """The stages. packed: weights are stored as two in a byte; a stage of their own unpacks them."""
    tile = choose_tile(operator, isa, choose)
    image, copied = image_read(operator, tile)
    made: list[Stage] = []
    if copied:
        made.append(Stage(image_copy(operator, image, target), (0,), (), TensorType(image, operator.inputs[0].dtype), "pad"))
    constants = constants_of(operator, tile)
    function = depthwise_kernel(operator, tile, image, constants, target, choose)
    inputs = [-1 if made else 0, *([1] if rows_of(operator) > 1 else [])]
    if packed:
        weight, lanes = constants.pop(0), target.vector_bytes
        unpack = unpack_kernel(round_up(weight.size, 2 * lanes), isa.weight_dtype, lanes)
        made.append(Stage(unpack, (), (pack(weight.reshape(1, -1), lanes),), TensorType((round_up(weight.size, 2 * lanes),), isa.weight_dtype), "int4"))
        inputs.append(-len(made))
    made.append(Stage(function, tuple(inputs), tuple(constants), operator.output, tile.name))
    return tuple(made)


def image_read(operator: DepthwiseConv2d, tile: Tile) -> tuple[tuple[int, int, int, int], bool]:
    """(N, rows, columns, channels) of the image that the kernel reads, and whether it is a copy."""
    n, h, w, channels = operator.inputs[0].shape
    rows, columns, padded_out = extent(operator, tile)
    if any(operator.padding) or rows > h or columns > w or padded_out != channels:
        return (n, rows, columns, padded_out), True
    return (n, h, w, channels), False


def image_copy(operator: DepthwiseConv2d, padded: tuple[int, int, int, int], target: Any) -> Any:
    """PrimFunc: the image with border, and each output channel's own input channel; zero points elsewhere."""
    n, h, w, channels = operator.inputs[0].shape
    _, rows, columns, padded_out = padded
    top, left = operator.padding[:2]
    dtype, out = operator.inputs[0].dtype, operator.output.shape[3]
    lanes = target.vector_bytes // (1 if dtype == "int8" else 4)
    if padded_out == channels:
        return padded_copy((n, h, w * channels), (rows, columns * channels), top, left * channels, operator.input_zero_point, math.prod(padded), (dtype, dtype))
    x = te.placeholder((n, h, w, channels), dtype, name="x")

    def element(b: Expr, i: Expr, j: Expr, c: Expr) -> Expr:
        inside = tirx.all(i >= top, i < top + h, j >= left, j < left + w, c < out)
        return tirx.if_then_else(inside, x[b, i - top, j - left, c // (out // channels)], const(operator.input_zero_point, dtype))

    return vectorize_parts(s_tir.Schedule(te.create_prim_func([x, te.compute(padded, element, name="y")])), "y", [out, padded_out - out], lanes)
