"""Winograd's minimal filtering F(m x m, r x r) as data, scaled so that integers stay integers.

y = A' [(G w G') * (B' x B)] A for one tile of m x m outputs, a x a inputs (a = m + r - 1) and one channel; channels are summed before A.
G's rows are multiplied until they are integers and A's divided by as much, all by a common `scale`, so that the result is scale^2 times
the convolution. For integers it is recovered modulo 2^32 from any accumulator that wrapped around; for floats the transformed
weights are divided by scale^2.
Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Transform = Callable[[Sequence[Any]], list[Any]]


@dataclass(frozen=True, eq=False)
class WinogradForm:
    """One F(m x m, r x r).

    kernel: G, int64 (a, r). weight_transform: the same of a vector of r, input_transform: B' of a vector of a, output_transform: scale * A' of one,
    on anything that adds, subtracts and multiplies by constants.
    growth: the largest factor by which the two-dimensional input transform magnifies.
    """

    name: str
    m: int
    kernel: np.ndarray
    weight_transform: Transform
    input_transform: Transform
    output_transform: Transform
    scale: int
    growth: int

    @property
    def shift(self) -> int:
        """The power of two in scale^2."""
        return (self.scale**2 & -(self.scale**2)).bit_length() - 1

    @property
    def odd_inverse(self) -> int:
        """The inverse of scale^2's odd part modulo 2^32, as int32."""
        inverse = pow(self.scale**2 >> self.shift, -1, 1 << 32)
        return inverse - (inverse >> 31 << 32)

    @property
    def points(self) -> int:
        """a: inputs of a tile along an axis."""
        return self.kernel.shape[0]

    @property
    def taps(self) -> int:
        """r: of the kernel along an axis."""
        return self.kernel.shape[1]

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
        return largest << self.shift < 2**31 and max(weights, 128 * self.growth) < 2**15


def weight_2(g: Sequence[Any]) -> list[Any]:
    outer = g[0] + g[2]
    return [g[0], outer + g[1], outer - g[1], g[2]]


def weight_4(g: Sequence[Any]) -> list[Any]:
    near, even, odd = g[0] + g[2], g[0] + g[2] * 4, g[1] * 2
    return [g[0], near + g[1], near - g[1], even + odd, even - odd, g[2]]


def weight_3(g: Sequence[Any]) -> list[Any]:
    near, far = g[0] + g[2], g[1] + g[3]
    even, odd = g[0] + g[2] * 4, g[1] * 2 + g[3] * 8
    return [g[0], near + far, near - far, even + odd, even - odd, g[3]]


def input_2(d: Sequence[Any]) -> list[Any]:
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def output_2(q: Sequence[Any]) -> list[Any]:
    return [q[0] * 2 + (q[1] + q[2]), (q[1] - q[2]) - q[3] * 2]


def input_6(d: Sequence[Any]) -> list[Any]:
    """Six points: 0, 1, -1, 2, -2 and infinity."""
    even, odd = d[4] - d[2] * 4, d[3] - d[1] * 4
    near, far = d[4] - d[2], (d[3] - d[1]) * 2
    return [(d[0] - d[2]) * 4 + near, even + odd, even - odd, near + far, near - far, (d[5] - d[3]) - far * 2]


def output_4(q: Sequence[Any]) -> list[Any]:
    ones, one = q[1] + q[2], q[1] - q[2]
    twos, two = q[3] + q[4], q[3] - q[4]
    return [q[0] * 6 - ones * 4 + twos, two * 2 - one * 4, (twos - ones) * 4, two * 8 - one * 4 + q[5] * 24]


def output_3(q: Sequence[Any]) -> list[Any]:
    ones, one = q[1] + q[2], q[1] - q[2]
    twos, two = q[3] + q[4], q[3] - q[4]
    return [q[0] * 6 - ones * 4 + twos, two * 2 - one * 4, (twos - ones) * 4 + q[5] * 24]


F2 = WinogradForm("F(2x2,3x3)", 2, np.array([[1, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 1]]), weight_2, input_2, output_2, scale=2, growth=4)
F4 = WinogradForm("F(4x4,3x3)", 4, np.array([[1, 0, 0], [1, 1, 1], [1, -1, 1], [1, 2, 4], [1, -2, 4], [0, 0, 1]]), weight_4, input_6, output_4,
                  scale=24, growth=100)
F3 = WinogradForm("F(3x3,4x4)", 3, np.array([[1, 0, 0, 0], [1, 1, 1, 1], [1, -1, 1, -1], [1, 2, 4, 8], [1, -2, 4, -8], [0, 0, 0, 1]]), weight_3,
                  input_6, output_3,
                  scale=24, growth=100)
