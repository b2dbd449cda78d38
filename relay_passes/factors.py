"""Layers with nothing but a requantization between them, multiplied into the one layer whose factors they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nnc_tvm.relay_passes.grouped import Sum, groups_of, in_groups, rows_of, whole
from nnc_tvm.relay_passes.prove_accumulators import LIMIT, accumulator_bound
from nnc_tvm.schedules.operators import Conv2d, Dense
from nnc_tvm.schedules.quantization import Epilogue, FixedRequantize, FloatClamp, FloatRequantize, ScaleToFloat, make_requantize

Whole = Conv2d | Dense
LARGEST = 255  # what integer weights may be at most, see WeightedSum
ROUNDED = 127  # what rounded ones are at most


@dataclass(frozen=True, eq=False)
class Product:
    """layer: reads what the first factor reads and computes what the last one does. exact: whether the same integers; floats differ by rounding."""

    layer: Sum
    exact: bool


def product(factors: Sequence[Sum], rounded: bool) -> Product | None:
    """The layer that `factors`, each of which reads what the one before it computes, are together; None where there is none.

    rounded: whether integer factors may become one that differs from them by rounding: its weights are rounded to int8 for each channel,
    and what the factors round and saturate between them is not.
    """
    if not all(is_factor(before, after) for before, after in zip(factors, factors[1:], strict=False)):
        return None
    floats = factors[0].weight.dtype == np.float32
    exact = not floats and all(map(passes_exactly, factors[:-1]))
    rounded = rounded and all(covers_int8(factor.epilogue) for factor in factors[:-1])
    together = multiplied_out([whole(factor) for factor in factors]) if floats or exact or rounded else None
    if together is None:
        return None
    groups = math.gcd(*map(groups_of, factors))
    if floats:
        layer = replace(together, weight=together.weight.astype(np.float32), bias=together.bias.astype(np.float32))
        return Product(in_groups(layer, groups), False)
    same, near = as_integers(together) if exact else None, with_rounded_weights(together) if rounded else None
    if same is not None:
        return Product(in_groups(same, groups), True)
    return None if near is None else Product(in_groups(near, groups), False)


def multiplied_out(factors: Sequence[Whole]) -> Whole | None:
    """The layer with weights and bias in float64, which are whole numbers where nothing is lost; None where there is none."""
    first = shape = factors[0]
    weight, bias = first.weight.astype(np.float64), first.bias.astype(np.float64)
    for before, after in zip(factors, factors[1:], strict=False):
        together = None if leaves_border(shape, after, bias) else geometry(shape, after)
        if together is None:
            return None
        scale = scale_of(before.epilogue).reshape(-1, *[1] * (weight.ndim - 1))
        inner = after.weight.astype(np.float64)
        bias = after.bias + inner.reshape(len(inner), -1, len(bias)).sum(1) @ (bias * scale.reshape(-1))
        weight = multiplied(inner, weight * scale)
        shape = replace(together, weight=weight)
    return replace(shape, weight=weight, bias=bias, epilogue=factors[-1].epilogue)


def is_factor(before: Sum, after: Sum) -> bool:
    """Whether `after` reads the sums of `before` scaled, and at most rounded and clamped as integers."""
    if isinstance(before, Dense) != isinstance(after, Dense) or any(isinstance(f, Conv2d) and f.residual is not None for f in (before, after)):
        return False
    if isinstance(before.epilogue, FloatClamp):
        return isinstance(after.epilogue, FloatClamp) and math.isinf(before.epilogue.low) and math.isinf(before.epilogue.high)
    return (isinstance(before.epilogue, FixedRequantize | FloatRequantize) and before.epilogue.zero_point == after.input_zero_point
            and isinstance(after.epilogue, FixedRequantize | FloatRequantize | ScaleToFloat))


def scale_of(epilogue: Epilogue) -> np.ndarray:
    """What multiplies the sums, float64, (channels,) or (1,)."""
    if isinstance(epilogue, FixedRequantize):
        return np.ldexp(epilogue.multiplier.astype(np.float64), epilogue.shift - 31)
    return epilogue.scale.astype(np.float64) if isinstance(epilogue, FloatRequantize | ScaleToFloat) else np.ones(1)


def leaves_border(before: Whole, after: Whole, bias: np.ndarray) -> bool:
    """Whether `after` reads zeros outside the image where `before`, whose bias that is, would compute something else."""
    if not (isinstance(before, Conv2d) and isinstance(after, Conv2d) and any(after.padding)):
        return False
    if bias.any():
        return True
    axes = ((after.padding[k] or after.padding[k + 2]) and (before.kernel[k] > 1 or before.padding[k] or before.padding[k + 2]) for k in range(2))
    return any(axes)


def geometry(before: Whole, after: Whole) -> Whole | None:
    """The layer's shape, without its weights; None where both kernels are wider than a pixel along one axis, so that the product's grows."""
    if not (isinstance(before, Conv2d) and isinstance(after, Conv2d)):
        assert isinstance(after, Dense)
        return replace(after, inputs=before.inputs, input_zero_point=before.input_zero_point)
    if any(min(before.kernel[k], after.kernel[k]) > 1 for k in range(2)):
        return None
    strides, dilation, begin, end = [], [], [], []
    for k in range(2):
        wide = max(before.kernel[k], after.kernel[k])
        strides.append(before.strides[k] * after.strides[k])
        dilation.append(1 if wide == 1 else before.dilation[k] if before.kernel[k] > 1 else after.dilation[k] * before.strides[k])
        begin.append(before.padding[k] + before.strides[k] * after.padding[k])
        read = (after.output.shape[1 + k] - 1) * strides[k] + (wide - 1) * dilation[k] + 1
        end.append(max(0, read - begin[k] - before.inputs[0].shape[1 + k]))
    return replace(after, inputs=before.inputs, input_zero_point=before.input_zero_point, strides=(strides[0], strides[1]),
                   dilation=(dilation[0], dilation[1]), padding=(begin[0], begin[1], end[0], end[1]))


def multiplied(after: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The weights of the product; kernels of which one is a single pixel along each axis."""
    if after.ndim == 2:
        return after @ before
    (o, h, w, _), (_, kh, kw, c) = after.shape, before.shape
    return np.tensordot(after, before, 1).transpose(0, 1, 3, 2, 4, 5).reshape(o, h * kh, w * kw, c)


def passes_exactly(factor: Sum) -> bool:
    """Whether, whatever it reads, its requantization multiplies by integers and never clamps: nothing is lost."""
    epilogue = factor.epilogue
    assert isinstance(epilogue, FixedRequantize | FloatRequantize)
    scale = scale_of(epilogue)
    if (scale != np.rint(scale)).any():
        return False
    weight = rows_of(factor).astype(np.int64)
    largest, least = 127 - factor.input_zero_point, -128 - factor.input_zero_point
    high = factor.bias + np.where(weight > 0, weight * largest, weight * least).sum(1)
    low = factor.bias + np.where(weight > 0, weight * least, weight * largest).sum(1)
    return bool((epilogue.zero_point + low * scale >= epilogue.low).all() and (epilogue.zero_point + high * scale <= epilogue.high).all())


def covers_int8(epilogue: Epilogue) -> bool:
    """Whether nothing but what int8 cannot hold is clamped."""
    return isinstance(epilogue, FixedRequantize | FloatRequantize) and (epilogue.low, epilogue.high) == (-128, 127)


def as_integers(made: Whole) -> Whole | None:
    """The layer with its weights, which are whole numbers, as integers; None where kernels could not take them."""
    if np.abs(made.weight).max(initial=0) > LARGEST or np.abs(made.bias).max(initial=0) > LIMIT:
        return None
    integers = replace(made, weight=made.weight.astype(np.int16), bias=made.bias.astype(np.int32))
    return integers if accumulator_bound(integers) <= LIMIT else None


def with_rounded_weights(made: Whole) -> Whole | None:
    """The layer with each channel's weights rounded to [-127, 127], its requantization made up for that."""
    axes = tuple(range(1, made.weight.ndim))
    step = np.abs(made.weight).max(axes) / ROUNDED
    step[step == 0] = 1.0
    weight, bias = np.rint(made.weight / step.reshape(-1, *[1] * len(axes))), np.rint(made.bias / step)
    epilogue, scale = made.epilogue, scale_of(made.epilogue) * step
    if isinstance(epilogue, FixedRequantize):
        remade = make_requantize("fixed", scale, epilogue.zero_point, epilogue.low, epilogue.high)
        assert isinstance(remade, FixedRequantize)
        rescaled: Epilogue = replace(remade, single_rounding=epilogue.single_rounding)
    else:
        assert isinstance(epilogue, FloatRequantize | ScaleToFloat)
        rescaled = replace(epilogue, scale=scale.astype(np.float32))
    return as_integers(replace(made, weight=weight, bias=bias, epilogue=rescaled))
