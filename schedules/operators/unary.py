"""Unary functions between two int8 tensors as 256-entry tables, equal to LiteRT's reference kernels: the entries of `Table` in `fixed` mode."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from nnc_tvm.schedules.fixed_point import multiply_by_quantized, round_half_away, rounding_shift
from nnc_tvm.schedules.quantization import QuantParams, quantize_multiplier, quantized_bounds

Attributes = Mapping[str, float]
F32 = np.float32
INTEGERS = np.arange(-128, 128)


def fixed_table(name: str, attributes: Attributes, source: QuantParams, output: QuantParams) -> np.ndarray:
    """int8 (256,): what LiteRT's reference kernel of the function computes for every input.

    name: one of FIXED; attributes: "alpha" of leaky_relu, "approximate" of gelu. Raises KeyError for other names.
    """
    return FIXED[name](attributes, source, output)


def _evaluated(function: Callable[[np.ndarray, Attributes], np.ndarray]) -> Callable[[Attributes, QuantParams, QuantParams], np.ndarray]:
    """LiteRT's LUTPopulate: the function in float32, a multiply by the inverse scale, halves away from zero."""

    def table(attributes: Attributes, source: QuantParams, output: QuantParams) -> np.ndarray:
        (si, zi), (so, zo) = source.scalar(), output.scalar()
        real = F32(si) * (INTEGERS - zi).astype(F32)
        scaled = (function(real, attributes) * (F32(1) / F32(so))).astype(np.float64)
        return np.clip(round_half_away(scaled) + zo, -128, 127).astype(np.int8)

    return table


def _single(function: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """`function` correctly rounded to float32: the C library's float functions differ from it in rare last bits only."""
    return lambda x: np.asarray(function(x.astype(np.float64))).astype(F32)


_exp, _expm1, _tanh = _single(np.exp), _single(np.expm1), _single(np.tanh)
_erf = _single(np.vectorize(math.erf, otypes=[np.float64]))


def _logistic(x: np.ndarray, attributes: Attributes) -> np.ndarray:
    with np.errstate(over="ignore"):
        return F32(1) / (F32(1) + _exp(-x))


def _gelu(x: np.ndarray, attributes: Attributes) -> np.ndarray:
    if attributes.get("approximate", 0):
        return F32(0.5) * x * (F32(1) + _tanh(F32(math.sqrt(2 / math.pi)) * (x + F32(0.044715) * x * x * x)))
    return F32(0.5) * x * (F32(1) + _erf(x * F32(math.sqrt(0.5))))


def _rescaled(x: np.ndarray, real: float) -> np.ndarray:
    return multiply_by_quantized(x, *quantize_multiplier(real))


def _clamped(low: float, high: float) -> Callable[[Attributes, QuantParams, QuantParams], np.ndarray]:
    """RELU and its relatives: a rescale, clamped."""

    def table(attributes: Attributes, source: QuantParams, output: QuantParams) -> np.ndarray:
        (si, zi), (so, zo) = source.scalar(), output.scalar()
        return np.clip(_rescaled(INTEGERS - zi, float(F32(si) / F32(so))) + zo, *quantized_bounds(low, high, so, zo)).astype(np.int8)

    return table


def _leaky_relu(attributes: Attributes, source: QuantParams, output: QuantParams) -> np.ndarray:
    (si, zi), (so, zo) = source.scalar(), output.scalar()
    x = INTEGERS - zi
    slope = float(F32(si) * F32(attributes["alpha"]) / F32(so))
    negative = np.sign(slope) * _rescaled(x, abs(slope))
    return np.clip(np.where(x >= 0, _rescaled(x, float(F32(si) / F32(so))), negative) + zo, -128, 127).astype(np.int8)


def _high_multiply_int16(a: np.ndarray, b: int) -> np.ndarray:
    """round(a * b / 2^15), halves up, for a and b within int16, b > 0."""
    return (a.astype(np.int64) * b + (1 << 14)) >> 15


def _int16_multiplier(real: float) -> tuple[int, int]:
    multiplier, exponent = quantize_multiplier(real)
    return min((multiplier + (1 << 15)) >> 16, (1 << 15) - 1), exponent


def _saturate_int16(x: np.ndarray) -> np.ndarray:
    return np.clip(x, -(1 << 15), (1 << 15) - 1)


def _hard_swish(attributes: Attributes, source: QuantParams, output: QuantParams) -> np.ndarray:
    """x * clamp(x + 3, 0, 6) / 6 in 16-bit fixed point: x on seven more bits, times its clamped half on a scale where 3 is 2^15."""
    (si, zi), (so, zo) = source.scalar(), output.scalar()
    fine_scale = F32(1 / 128) * F32(si)
    output_multiplier, output_exponent = _int16_multiplier(float(fine_scale / F32(so)))
    gate_multiplier, gate_exponent = _int16_multiplier(float(fine_scale / (F32(3) / F32(32768))))
    if output_exponent > 0:
        raise ValueError(f"hard_swish: an output scale of {so} is too fine for an input scale of {si}")
    fine = (INTEGERS - zi) * 128
    gate = _high_multiply_int16(_saturate_int16(fine << max(gate_exponent - 1, 0)), gate_multiplier)
    # the last doubling saturates after the multiply, where it decides the result
    gate = _saturate_int16(gate << 1) if gate_exponent > 0 else rounding_shift(gate, -gate_exponent)
    gate = (gate + (1 << 15)) >> 1
    product = gate * _high_multiply_int16(fine, output_multiplier)
    truncated = np.sign(product) * (np.abs(product) >> 15)
    return np.clip(rounding_shift(truncated, -output_exponent) + zo, -128, 127).astype(np.int8)


def _abs(attributes: Attributes, source: QuantParams, output: QuantParams) -> np.ndarray:
    """On one scale without a multiply."""
    (si, zi), (so, zo) = source.scalar(), output.scalar()
    x = np.abs(INTEGERS - zi)
    return np.clip((x if F32(si) == F32(so) else _rescaled(x, float(F32(si) / F32(so)))) + zo, -128, 127).astype(np.int8)


def _sqrt(attributes: Attributes, source: QuantParams, output: QuantParams) -> np.ndarray:
    """Steps are cut off, not rounded; LiteRT has no result below 0, which is 0 here."""
    (si, zi), (so, zo) = source.scalar(), output.scalar()
    root = np.sqrt(np.maximum(F32(si) * (INTEGERS - zi).astype(F32), F32(0)))
    return np.clip(np.trunc(root / F32(so)).astype(np.int64) + zo, -128, 127).astype(np.int8)


def _log(attributes: Attributes, source: QuantParams, output: QuantParams) -> np.ndarray:
    """What is not positive becomes the lowest integer."""
    (si, zi), (so, zo) = source.scalar(), output.scalar()
    x = F32(si) * (INTEGERS - zi).astype(F32)
    steps = round_half_away((_single(np.log)(np.where(x > 0, x, 1)) * (F32(1) / F32(so))).astype(np.float64)) + zo
    return np.where(x > 0, np.clip(steps, -128, 127), -128).astype(np.int8)


FIXED: dict[str, Callable[[Attributes, QuantParams, QuantParams], np.ndarray]] = {
    "sigmoid": _evaluated(_logistic),
    "tanh": _evaluated(lambda x, attributes: _tanh(x)),
    "elu": _evaluated(lambda x, attributes: np.where(x < 0, _expm1(x), x)),
    "gelu": _evaluated(_gelu),
    "exp": _evaluated(lambda x, attributes: _exp(x)),
    "relu": _clamped(0, math.inf),
    "relu6": _clamped(0, 6),
    "relu_n1_to_1": _clamped(-1, 1),
    "abs": _abs,
    "sqrt": _sqrt,
    "log": _log,
    "leaky_relu": _leaky_relu,
    "hard_swish": _hard_swish,
}
