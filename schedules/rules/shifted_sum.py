"""Sums of two int8 tensors as one rounding shift, where that gives the same integers for every pair of bytes.

LiteRT rounds each term and then twice what they add up to; ONNX multiplies floats. The sum itself, on factors of 20 bits and more, is off
by less than either: where no pair of bytes comes that close to a half, it is equal, and all 65536 pairs are tried.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from nnc_tvm.schedules.fixed_point import high_multiply, multiply_by_quantized, rounding_shift
from nnc_tvm.schedules.operators import LinearCombination
from nnc_tvm.schedules.quantization import FixedRequantize

BITS = (22, 23)  # of the larger factor: the fewer, the less often sums exceed int32; the more, the closer to the real value
REACH = 8  # how far factors may be off their real values, to bring ties to the right side


@dataclass(frozen=True)
class ShiftedSum:
    """y - zero_point = clamp((factors[0] * (a - za) + factors[1] * (b - zb) + offset) / 2^exponent), halves up. Nothing exceeds int32."""

    factors: tuple[int, int]
    offset: int
    exponent: int


def shifted_sum(operator: LinearCombination) -> ShiftedSum | None:
    """The ShiftedSum that gives for all inputs what `operator` gives, without an offset where that is found; None where there is none."""
    real = [unit_of(operator, i) for i in (0, 1)]
    wanted = results(operator)
    exponents = [bits - math.frexp(max(map(abs, real)))[1] for bits in BITS]
    best = None
    for short in (short for exponent in exponents if 1 <= exponent <= 31 for short in sums_of(operator, real, wanted, exponent)):
        if short.offset == 0:
            return short
        best = best or short
    return best


def sums_of(operator: LinearCombination, real: list[float], wanted: np.ndarray, exponent: int) -> Iterator[ShiftedSum]:
    """Those with `exponent` that give what is `wanted`, up to the first without an offset."""
    low, high = (int(bound) for bound in clamped(operator, np.array([-(2**31), 2**31])))
    a, b = np.meshgrid(*differences(operator), indexing="ij")
    nearest = [round(factor * 2.0**exponent) for factor in real]
    half = 1 << (exponent - 1)

    def offsets(factors: tuple[int, int], pairs: np.ndarray) -> tuple[int, int]:
        """(least, largest) offset with which all `pairs` give what is wanted."""
        result, sums = wanted[pairs], a[pairs] * factors[0] + b[pairs] * factors[1] + half
        least, largest = (result << exponent) - sums, ((result + 1) << exponent) - 1 - sums
        return int(least[result > low].max(initial=-half)), int(largest[result < high].min(initial=half))

    # only pairs that come near a half can tell the candidates apart
    fraction = (a * nearest[0] + b * nearest[1]) % (2 * half)
    doubtful, every = np.abs(fraction - half) <= (np.abs(a) + np.abs(b)) * REACH, np.ones(wanted.shape, bool)
    for off in sorted(product(range(-REACH, REACH + 1), repeat=2), key=lambda pair: abs(pair[0]) + abs(pair[1])):
        factors = (nearest[0] + off[0], nearest[1] + off[1])
        if np.subtract(*offsets(factors, doubtful)) > 0:
            continue
        least, largest = offsets(factors, every)
        offset = min(max(0, least), largest)
        if least <= largest and int((np.abs(a * factors[0]) + np.abs(b * factors[1])).max()) + abs(offset) + half < 2**31:
            yield ShiftedSum(factors, offset, exponent)
            if offset == 0:
                return


def unit_of(operator: LinearCombination, i: int) -> float:
    """How much of the output's scale a step of input i is, signed."""
    requantize = operator.requantize
    if not isinstance(requantize, FixedRequantize):
        return operator.factors[i] * float(requantize.scale[0])
    scale = float(requantize.multiplier[0]) * 2.0 ** (int(requantize.shift[0]) - 31)
    return operator.factors[i] * 2.0 ** (operator.left_shift + operator.shifts[i] - 31) * scale


def differences(operator: LinearCombination) -> list[np.ndarray]:
    """int64 (256,) each: every byte less the input's zero point."""
    return [np.arange(-128, 128) - zero_point for zero_point in operator.zero_points]


def results(operator: LinearCombination) -> np.ndarray:
    """(256, 256): y - zero_point for every pair of bytes, as LinearCombination's docstring says."""
    requantize, (a, b) = operator.requantize, differences(operator)
    if not isinstance(requantize, FixedRequantize):
        total = a[:, None] * operator.factors[0] + b * operator.factors[1]
        return clamped(operator, np.rint(total.astype(np.float32) * requantize.scale[0]).astype(np.int64))
    terms = [np.sign(factor) * rounding_shift(high_multiply(value << operator.left_shift, abs(factor)), -shift)
             for value, factor, shift in zip((a, b), operator.factors, operator.shifts, strict=True)]
    return clamped(operator, multiply_by_quantized(terms[0][:, None] + terms[1], requantize.multiplier[0], requantize.shift[0]))


def clamped(operator: LinearCombination, value: np.ndarray) -> np.ndarray:
    """`value` within the output's bounds, both less its zero point."""
    requantize = operator.requantize
    return np.clip(value, requantize.low - requantize.zero_point, requantize.high - requantize.zero_point)
