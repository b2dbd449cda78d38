"""Commands that go pixel by pixel, ADD, MUL, LUT and SOFTMAX: docs/npu.md byte for byte."""

from __future__ import annotations

from dataclasses import dataclass

from nnc_tvm.targets.npu.operands import SINGLE_ROUNDING, Image, Sum, command, signed, word

TABLE_BYTES = 256  # of LUT


@dataclass(frozen=True)
class Add:
    a: Image
    b: Image
    output: Image
    sum: Sum
    wait: int = 0

    def words(self) -> tuple[int, ...]:
        return command(5, 0, (self.wait, *self.a.words(), *self.b.words(), *self.output.words(), *self.sum.words()))


@dataclass(frozen=True)
class Mul:
    """The product of the images less their zero points, requantized. b: of a's shape, or one pixel for all."""

    a: Image
    b: Image
    output: Image
    multiplier: int
    shift: int
    low: int
    high: int
    zero_point: int
    single_rounding: bool = False
    wait: int = 0

    def words(self) -> tuple[int, ...]:
        return command(8, SINGLE_ROUNDING * self.single_rounding, (
            self.wait, *self.a.words(), *self.b.words(), *self.output.words(), signed(self.multiplier), word("bbbB", self.shift, self.low, self.high, 0),
            word("hH", self.zero_point, 0)))


@dataclass(frozen=True)
class Lut:
    source: Image
    output: Image
    table: int
    wait: int = 0

    def words(self) -> tuple[int, ...]:
        return command(6, 0, (self.wait, *self.source.words(), *self.output.words(), self.table))


@dataclass(frozen=True)
class Softmax:
    source: Image
    output: Image
    multiplier: int
    shift: int
    diff_min: int
    wait: int = 0

    def words(self) -> tuple[int, ...]:
        return command(7, 0, (self.wait, *self.source.words(), *self.output.words(), *map(signed, (self.multiplier, self.shift, self.diff_min))))
