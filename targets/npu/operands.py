"""What commands of the NNC-1 are about: images in the SRAM, windows over them, sums of two, and their words."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from nnc_tvm.schedules.operators.elementwise import LinearCombination
from nnc_tvm.schedules.quantization import FixedRequantize

SINGLE_ROUNDING = 4  # flag of commands that requantize


def word(layout: str, *fields: int) -> int:
    """Fields packed into a 32-bit word from the low byte up, as struct's layout says."""
    return int.from_bytes(struct.pack("<" + layout, *fields), "little")


def signed(value: int) -> int:
    return word("i", value)


def command(op: int, flags: int, words: Sequence[int]) -> tuple[int, ...]:
    """A whole command, what follows its first word being `words`."""
    return (word("BBH", op, flags, 1 + len(words)), *words)


@dataclass(frozen=True)
class Image:
    """An int8 image in SRAM. pixel, row: bytes from one to the next. first, wrap: rows in a ring, see docs/npu.md."""

    base: int
    height: int
    width: int
    channels: int
    pixel: int
    row: int
    zero_point: int = 0
    first: int = 0
    wrap: int = 0

    @staticmethod
    def dense(base: int, height: int, width: int, channels: int, zero_point: int = 0) -> Image:
        return Image(base, height, width, channels, channels, width * channels, zero_point)

    @property
    def elements(self) -> int:
        return self.height * self.width * self.channels

    def words(self) -> tuple[int, ...]:
        return (self.base, word("HH", self.height, self.width), word("Hh", self.channels, self.zero_point), self.pixel, self.row,
                word("HH", self.first, self.wrap))


@dataclass(frozen=True)
class Sum:
    """The sum block: LinearCombination's numbers."""

    factors: tuple[int, int]
    shifts: tuple[int, int]
    left_shift: int
    multiplier: int
    shift: int
    zero_points: tuple[int, int]
    zero_point: int
    low: int
    high: int

    @staticmethod
    def of(operator: LinearCombination, swap: bool = False) -> Sum:
        """swap: the operator's second input comes first."""
        a, b = (1, 0) if swap else (0, 1)
        r = operator.requantize
        assert isinstance(r, FixedRequantize)
        factors, shifts, zero_points = ((pair[a], pair[b]) for pair in (operator.factors, operator.shifts, operator.zero_points))
        return Sum(factors, shifts, operator.left_shift, int(r.multiplier[0]), int(r.shift[0]), zero_points, r.zero_point, r.low, r.high)

    def words(self) -> tuple[int, ...]:
        return (*map(signed, self.factors), word("bbBb", *self.shifts, self.left_shift, self.shift), signed(self.multiplier),
                word("bbh", self.low, self.high, self.zero_point), word("hh", *self.zero_points))


@dataclass(frozen=True)
class Window:
    """kernel, strides and dilation: (down, right); padding: (top, left)."""

    kernel: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
