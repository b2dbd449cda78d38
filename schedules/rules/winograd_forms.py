"""Winograd's minimal filtering F(m x m, r x r) as data, scaled so that integers stay integers.

y = A' [(G w G') * (B' x B)] A for one tile of m x m outputs, a x a inputs (a = m + r - 1) and one channel; channels are summed before A.
G's rows are multiplied until they are integers and A's divided by as much, all by a common `scale`, so that the result is scale^2 times
the convolution. For integers it is recovered modulo 2^32 from any accumulator that wrapped around; for floats the transformed
weights are divided by scale^2.

A tile with fewer outputs, at an image's edge, needs fewer points: its G is the first rows of the form's, so that its weights are among those of whole tiles.
Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

Transform = Callable[[Sequence[Any]], list[Any]]


@dataclass(frozen=True, eq=False)
class Axis:
    """F(m, r) along one side of a tile, on the first m + r - 1 points of a form: as many inputs.

    input_transform: B' of a vector of the inputs, output_transform: scale * A' of one of the points, on anything that adds, subtracts and multiplies
    by constants.
    """

    m: int
    points: int
    input_transform: Transform
    output_transform: Transform
    scale: int


@dataclass(frozen=True, eq=False)
class WinogradForm:
    """One F(m x m, r x r).

    kernel: G, int64 (a, r): of the points 0, infinity, 1, -1, 2, ... weight_transform: the same of a vector of r, as `Axis` has its transforms.
    whole: both sides of a tile. growth: the largest factor by which the two-dimensional input transform magnifies.
    """

    name: str
    kernel: np.ndarray
    weight_transform: Transform
    whole: Axis
    growth: int

    @property
    def m(self) -> int:
        """Outputs of a tile along an axis."""
        return self.whole.m

    @property
    def scale(self) -> int:
        return self.whole.scale

    @property
    def points(self) -> int:
        """a: inputs of a tile along an axis."""
        return self.kernel.shape[0]

    @property
    def taps(self) -> int:
        """r: of the kernel along an axis."""
        return self.kernel.shape[1]

    @cached_property
    def axes(self) -> dict[int, Axis]:
        """A side of a tile by its outputs, from 1 to m."""
        return {m: self.whole if m == self.m else edge_axis(self.kernel, m) for m in range(1, self.m + 1)}

    def transform_weights(self, weight: np.ndarray) -> np.ndarray:
        """(O, r, r, C) as (O, a * a, C): int32 from integers, float32 divided by scale^2 from floats.

        Integers go through float32, which holds all that `is_exact` lets pass.
        """
        out, taps, _, channels = weight.shape
        g = self.kernel.astype(np.float32)
        rows = np.matmul(g, weight.reshape(out, taps, taps * channels).astype(np.float32)).reshape(out, self.points, taps, channels)
        transformed = np.matmul(g, rows).reshape(out, self.points**2, channels)
        return transformed / np.float32(self.scale**2) if weight.dtype == np.float32 else transformed.astype(np.int32)

    def is_exact(self, weight: np.ndarray) -> bool:
        """Whether any image gives the convolution: for int8, 2^shift * |sum| < 2^31, and both factors of every product within int16."""
        if weight.dtype == np.float32:
            return True
        largest = 128 * int(np.abs(weight).sum(axis=(1, 2, 3), dtype=np.int64).max(initial=0))
        weights = int(np.abs(self.kernel).sum(axis=1).max()) ** 2 * int(np.abs(weight).max(initial=0))
        return largest << division(self.scale**2)[1] < 2**31 and max(weights, 128 * self.growth) < 2**15


def division(scale: int) -> tuple[int, int]:
    """(factor, shift) that undo a multiplication by `scale` modulo 2^32: an int32, the inverse of its odd part, and its power of two."""
    shift = (scale & -scale).bit_length() - 1
    inverse = pow(scale >> shift, -1, 1 << 32)
    return inverse - (inverse >> 31 << 32), shift


def edge_axis(kernel: np.ndarray, m: int) -> Axis:
    """The side of m outputs on the first points of G, by Toom and Cook: B' interpolates and A' evaluates, transposed.

    Source: Blahut, "Fast Algorithms for Signal Processing" (2010), chapter 5.
    """
    points = m + kernel.shape[1] - 1
    finite = [int(kernel[i, 1]) for i in range(points) if i != 1]
    rows, divisors = [], []
    for point in finite:
        others = [other for other in finite if other != point]
        divisors.append(math.prod(point - other for other in others))
        rows.append([*(int(np.sign(divisors[-1])) * polynomial(others)), 0])
    scale = math.lcm(*divisors)
    outputs = [[scale // abs(divisor) * point**k for point, divisor in zip(finite, divisors, strict=True)] for k in range(m)]
    rows.insert(1, [*polynomial(finite)])
    for k, row in enumerate(outputs):
        row.insert(1, scale if k == m - 1 else 0)
    return Axis(m, points, linear(rows), linear(outputs), scale)


def polynomial(roots: Sequence[int]) -> np.ndarray:
    """The coefficients of the product of all x - root, the constant first."""
    product = np.array([1])
    for root in roots:
        product = np.convolve(product, [-root, 1])
    return product


def linear(matrix: Sequence[Sequence[int]]) -> Transform:
    """The product with a matrix each row of which has a positive element."""
    def row(factors: Sequence[int], values: Sequence[Any]) -> Any:
        scaled = [(factor > 0, value if abs(factor) == 1 else value * abs(int(factor))) for factor, value in zip(factors, values, strict=True) if factor]
        (_, total), *rest = sorted(scaled, key=lambda term: not term[0])
        for positive, term in rest:
            total = total + term if positive else total - term
        return total

    return lambda values: [row(factors, values) for factors in matrix]


def weight_2(g: Sequence[Any]) -> list[Any]:
    outer = g[0] + g[2]
    return [g[0], g[2], outer + g[1], outer - g[1]]


def weight_4(g: Sequence[Any]) -> list[Any]:
    near, even, odd = g[0] + g[2], g[0] + g[2] * 4, g[1] * 2
    return [g[0], g[2], near + g[1], near - g[1], even + odd, even - odd]


def weight_3(g: Sequence[Any]) -> list[Any]:
    near, far = g[0] + g[2], g[1] + g[3]
    even, odd = g[0] + g[2] * 4, g[1] * 2 + g[3] * 8
    return [g[0], g[3], near + far, near - far, even + odd, even - odd]


def input_2(d: Sequence[Any]) -> list[Any]:
    return [d[0] - d[2], d[1] - d[3], d[1] + d[2], d[2] - d[1]]


def output_2(q: Sequence[Any]) -> list[Any]:
    return [q[0] * 2 + (q[2] + q[3]), (q[2] - q[3]) - q[1] * 2]


def input_6(d: Sequence[Any]) -> list[Any]:
    """Six points: 0, infinity, 1, -1, 2 and -2."""
    even, odd = d[4] - d[2] * 4, d[3] - d[1] * 4
    near, far = d[4] - d[2], (d[3] - d[1]) * 2
    return [(d[0] - d[2]) * 4 + near, (d[5] - d[3]) - far * 2, even + odd, even - odd, near + far, near - far]


def output_4(q: Sequence[Any]) -> list[Any]:
    ones, one = q[2] + q[3], q[2] - q[3]
    twos, two = q[4] + q[5], q[4] - q[5]
    return [q[0] * 6 - ones * 4 + twos, two * 2 - one * 4, (twos - ones) * 4, two * 8 - one * 4 + q[1] * 24]


def output_3(q: Sequence[Any]) -> list[Any]:
    ones, one = q[2] + q[3], q[2] - q[3]
    twos, two = q[4] + q[5], q[4] - q[5]
    return [q[0] * 6 - ones * 4 + twos, two * 2 - one * 4, (twos - ones) * 4 + q[1] * 24]


F2 = WinogradForm("F(2x2,3x3)", np.array([[1, 0, 0], [0, 0, 1], [1, 1, 1], [1, -1, 1]]), weight_2, Axis(2, 4, input_2, output_2, scale=2), growth=4)
F4 = WinogradForm("F(4x4,3x3)", np.array([[1, 0, 0], [0, 0, 1], [1, 1, 1], [1, -1, 1], [1, 2, 4], [1, -2, 4]]), weight_4,
                  Axis(4, 6, input_6, output_4, scale=24), growth=100)
F3 = WinogradForm("F(3x3,4x4)", np.array([[1, 0, 0, 0], [0, 0, 0, 1], [1, 1, 1, 1], [1, -1, 1, -1], [1, 2, 4, 8], [1, -2, 4, -8]]), weight_3,
                  Axis(3, 6, input_6, output_3, scale=24), growth=100)
