"""Quantization: real = scale * (q - zero_point), and what happens between an int32 accumulator and the next tensor.

Requantization has two named meanings (docs/ARCHITECTURE.md, "Numbers"):

`fixed`  Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"
         (CVPR 2018), as LiteRT's reference kernels and CMSIS-NN compute it: a Q31 multiplier, a saturating rounding doubling
         high multiply, then a right shift that rounds half away from zero.
`float`  one float32 multiply, round half to even, add the zero point, clamp: ONNX QuantizeLinear's meaning.

Both are exact on every target: the same integers on the host, ARM and every accelerator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

Mode = Literal["fixed", "float"]

# dtype -> (lowest, highest)
RANGES = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-(2**15), 2**15 - 1), "int32": (-(2**31), 2**31 - 1)}


@dataclass(frozen=True, eq=False)
class QuantParams:
    """How an integer tensor stands for reals: real = scale * (q - zero_point).

    scale: float32 array, () for the whole tensor or (channels,) along `axis`; finite and > 0.
    zero_point: int32 array of the same shape.
    dtype: "int8", "uint8", "int4", "uint4", "int16" or "int32".
    """

    scale: np.ndarray
    zero_point: np.ndarray
    dtype: str
    axis: int = 0

    @property
    def per_tensor(self) -> bool:
        return self.scale.size == 1

    def scalar(self) -> tuple[float, int]:
        """(scale, zero_point) of a per-tensor quantization."""
        return float(self.scale.reshape(-1)[0]), int(self.zero_point.reshape(-1)[0])


@dataclass(frozen=True, eq=False)
class FixedRequantize:
    """y = clamp(zero_point + round(acc * multiplier * 2^(shift - 31)), low, high), integers only.

    multiplier: int32 (channels,) or (1,), 0 or in [2^30, 2^31).
    shift: int32 of the same shape, in [-31, 30]; positive shifts left before the multiply (the accumulator must not overflow then).
    low, high: the clamp, within int8; activations are already in it.
    single_rounding: one rounding, halves away from zero, of the 64-bit product instead of two. LiteRT's FULLY_CONNECTED multiplies by
        the real factor in double and rounds so: the same integers but for products within 2^-32 of their size from a half.
    Source: gemmlowp's SaturatingRoundingDoublingHighMul and RoundingDivideByPOT.
    """

    multiplier: np.ndarray
    shift: np.ndarray
    zero_point: int
    low: int = -128
    high: int = 127
    single_rounding: bool = False

    @property
    def only_positive(self) -> bool:
        """Whether the clamp gives `low` for all that is negative, as a ReLU does: it does not matter how that is rounded."""
        return self.low >= self.zero_point


@dataclass(frozen=True, eq=False)
class FloatRequantize:
    """y = clamp(rint(float32(acc) * scale), low - zero_point, high - zero_point) + zero_point, rint half to even.

    scale: float32 (channels,) or (1,).
    """

    scale: np.ndarray
    zero_point: int
    low: int = -128
    high: int = 127


@dataclass(frozen=True, eq=False)
class ScaleToFloat:
    """y = clamp(float32(acc) * scale, low, high): an integer kernel whose result leaves the integer graph.

    scale: float32 (channels,) or (1,). low, high: float32 bounds of a fused activation, infinite without one.
    """

    scale: np.ndarray
    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True, eq=False)
class RescaleAtRunTime:
    """y = clamp(float32(acc - zero_point * sums) * (row's scale * scale) + bias, low, high): the reals of sums of dynamically quantized x.

    zero_point and the row's scale are parameters of the run, as DynamicParameters gives them; x counts from 0 instead of its zero point.
    float32 throughout, but for the difference, which is int32 (modulo 2^32).

    scale, bias: float32 (channels,). sums: int32 (channels,), of each output channel's weights; zeros where zero points are 0.
    in_bias: zero_point * sums is subtracted already, with the bias of the contraction.
    """

    scale: np.ndarray
    bias: np.ndarray
    sums: np.ndarray
    low: float = -math.inf
    high: float = math.inf
    in_bias: bool = False


@dataclass(frozen=True, eq=False)
class FloatClamp:
    """y = clamp(acc, low, high): the epilogue of a float kernel (ReLU, ReLU6, or none with infinite bounds)."""

    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True, eq=False)
class KeepInt32:
    """y = acc: an integer kernel whose accumulator is itself the result (ONNX's MatMulInteger and ConvInteger)."""


Requantize = FixedRequantize | FloatRequantize
Epilogue = FixedRequantize | FloatRequantize | ScaleToFloat | RescaleAtRunTime | FloatClamp | KeepInt32


def quantize_multiplier(real: float) -> tuple[int, int]:
    """`real` >= 0 as (multiplier, shift) with real ~ multiplier * 2^(shift - 31), multiplier 0 or in [2^30, 2^31).

    Source: LiteRT's QuantizeMultiplier (multipliers below 2^-31 flush to zero).
    """
    if real == 0.0:
        return 0, 0
    fraction, shift = math.frexp(real)
    multiplier = math.floor(fraction * (1 << 31) + 0.5)  # C's round() for positive values
    if multiplier == 1 << 31:
        multiplier //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        return (1 << 31) - 1, 30
    return multiplier, shift


def make_requantize(mode: Mode, real: np.ndarray | float, zero_point: int, low: int = -128, high: int = 127) -> Requantize:
    """The requantization by `real` (float64, () or (channels,)) in the given meaning."""
    values = np.atleast_1d(np.asarray(real, np.float64))
    if mode == "float":
        return FloatRequantize(values.astype(np.float32), zero_point, low, high)
    pairs = [quantize_multiplier(float(v)) for v in values]
    return FixedRequantize(np.array([p[0] for p in pairs], np.int32), np.array([p[1] for p in pairs], np.int32), zero_point, low, high)


def convolution_scale(input_scale: float, weight_scale: np.ndarray | float, output_scale: float) -> np.ndarray:
    """input * weight / output scale, float64 of weight_scale's shape: how LiteRT's convolutions and per-channel dense layers derive it."""
    weights = np.asarray(weight_scale, np.float32).astype(np.float64)
    return np.asarray(float(np.float32(input_scale)) * weights / float(np.float32(output_scale)))


def product_scale(a_scale: float, b_scale: float, output_scale: float) -> float:
    """a * b / output scale with the product in float32: LiteRT's per-tensor FULLY_CONNECTED, BATCH_MATMUL and uint8 convolutions."""
    return float(np.float32(a_scale) * np.float32(b_scale)) / float(np.float32(output_scale))


def quantized_bounds(low: float, high: float, scale: float, zero_point: int) -> tuple[int, int]:
    """The clamp [low, high] of reals on an int8 tensor; finite bounds round half away from zero, in float32, as LiteRT's do."""

    def on_grid(bound: float) -> int:
        steps = float(np.float32(bound) / np.float32(scale))
        return zero_point + int(math.copysign(math.floor(abs(steps) + 0.5), steps))

    return (-128 if low == -math.inf else min(max(-128, on_grid(low)), 127)), (127 if high == math.inf else max(min(127, on_grid(high)), -128))
