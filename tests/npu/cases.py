"""Random jobs of every operator: operator, stream, memories and where the result lies."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from nnc_tvm.reference import evaluate
from nnc_tvm.schedules.operators import AveragePool2d, Conv2d, DepthwiseConv2d, FixedSoftmax, LinearCombination, MaxPool2d, Mean, Table, TensorType
from nnc_tvm.schedules.quantization import FixedRequantize
from tests.kernels.cases import random_requantize
from tests.npu import streams
from tests.npu.streams import Image

BUFFER, WEIGHT_BUFFER = 16 << 10, 8 << 10


@dataclass
class Memory:
    """What a case lays out: SRAM from address 16 on with gaps, flash, and the commands that bring it to SRAM."""

    rng: np.random.Generator
    top: int = 16
    flash: bytes = b"\xee" * 5
    commands: list[bytes] = field(default_factory=list)
    images: list[tuple[Image, np.ndarray]] = field(default_factory=list)

    def place(self, size: int) -> int:
        base = self.top + int(self.rng.integers(16))
        self.top = base + size
        return base

    def image(self, shape: tuple[int, int, int], zero: int = 0) -> Image:
        """Any pitches, sometimes rows that wrap."""
        h, w, c = shape
        pixel = c + int(self.rng.integers(0, 5))
        row = w * pixel + int(self.rng.integers(0, 9))
        wrap = h + int(self.rng.integers(3)) if self.rng.random() < 0.3 else 0
        return Image(self.place((wrap or h) * row), shape, zero, pixel, row, int(self.rng.integers(wrap)) if wrap else 0, wrap)

    def source(self, shape: tuple[int, int, int], zero: int = 0) -> tuple[Image, np.ndarray]:
        """An image with random values."""
        values = self.rng.integers(-128, 128, shape).astype(np.int8)
        self.images.append((self.image(shape, zero), values))
        return self.images[-1]

    def constant(self, data: bytes) -> int:
        """`data` in flash, compressed or not, and a DMA that brings it: its address in SRAM."""
        base, k = self.place(len(data)), int(self.rng.integers(0, 9))
        stored = streams.rice(np.frombuffer(data, np.int8), k) if k < 8 else data
        self.commands.append(streams.dma(len(self.flash), base, len(stored), len(data), flags=streams.RICE if k < 8 else 0))
        self.flash += stored
        return base


@dataclass
class Case:
    """A stream, its memories, and what the result must be."""

    operator: object
    stream: bytes
    flash: bytes
    sram: np.ndarray
    output: Image
    expected: np.ndarray


def finish(memory: Memory, operator: object, job: bytes, output: Image, expected: np.ndarray) -> Case:
    sram = memory.rng.integers(0, 256, memory.top + 8).astype(np.uint8)
    for image, values in memory.images:
        image.write(sram, values)
    return Case(operator, streams.stream([*memory.commands, job], sram.size, len(memory.flash)), memory.flash, sram, output, expected.reshape(output.shape))


def tensor(image: Image) -> TensorType:
    return TensorType((1, *image.shape), "int8")


def wait(memory: Memory) -> bytes:
    return struct.pack("<I", len(memory.commands))


def clamp_words(requantize: FixedRequantize) -> bytes:
    return struct.pack("<bbh", requantize.low, requantize.high, requantize.zero_point)


def window(rng: np.random.Generator, dilated: bool = True) -> tuple[tuple[int, int], ...]:
    """(input extents, kernel, strides, dilation, (top, left), output extents); some outputs lie partly in the padding."""
    h, w = (int(v) for v in rng.integers(1, 13, 2))
    kernel = [int(v) for v in rng.integers(1, 5, 2)]
    dilation = [int(v) for v in rng.integers(1, 4, 2)] if dilated and rng.random() < 0.3 else [1, 1]
    strides = [int(v) for v in rng.integers(1, 4, 2)]
    span = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    top, left = (int(rng.integers(0, s)) for s in span)
    covered = [size + before + int(rng.integers(0, s)) for size, before, s in zip((h, w), (top, left), span, strict=True)]
    extents = [max(1, (size - s) // stride + 1) for size, s, stride in zip(covered, span, strides, strict=True)]
    return (h, w), tuple(kernel), tuple(strides), tuple(dilation), (top, left), tuple(extents)


def padding_of(image: tuple[int, int], kernel: tuple[int, int], strides: tuple[int, int], dilation: tuple[int, int], before: tuple[int, int],
               out: tuple[int, int]) -> tuple[int, int, int, int]:
    after = [max(0, (out[a] - 1) * strides[a] + (kernel[a] - 1) * dilation[a] + 1 - before[a] - image[a]) for a in (0, 1)]
    return before[0], before[1], after[0], after[1]


def convolution(rng: np.random.Generator) -> Case:
    """CONV or DWCONV with any of their flags."""
    depthwise, single, residual = rng.random() < 0.35, bool(rng.random() < 0.3), rng.random() < 0.3
    extents, kernel, strides, dilation, before, out_extents = window(rng)
    c = int(rng.integers(1, 20))
    o = c if depthwise else int(rng.integers(1, 20))
    memory, zero = Memory(rng), int(rng.integers(-128, 128))
    source, x = memory.source((*extents, c), zero)
    output = memory.image((*out_extents, o))
    weight = rng.integers(-127, 128, (*kernel, o) if depthwise else (o, *kernel, c)).astype(np.int16)
    sparse = not depthwise and rng.random() < 0.4
    if sparse:
        weight[rng.random(weight.shape) < 0.8] = 0
    bias = rng.integers(-5000, 5000, o).astype(np.int32)
    products = kernel[0] * kernel[1] * (1 if depthwise else c)
    requantize = random_requantize(rng, "fixed", o, products)
    assert isinstance(requantize, FixedRequantize)
    requantize = FixedRequantize(requantize.multiplier, requantize.shift, requantize.zero_point, requantize.low, requantize.high, single)
    kind = DepthwiseConv2d if depthwise else Conv2d
    padding = padding_of(extents, kernel, strides, dilation, before, out_extents)
    operator = kind((tensor(source),), tensor(output), weight, bias, requantize, zero, strides, padding, dilation)
    expected = evaluate(operator, x[None])
    packed = streams.depthwise_weights(weight) if depthwise else streams.sparse_weights(weight) if sparse else streams.dense_weights(weight)
    weights, parameters = memory.constant(packed), memory.constant(streams.parameters(bias, requantize))
    flags = single * streams.SINGLE_ROUNDING + sparse * streams.SPARSE + (rng.random() < 0.3) * streams.CHUNKS_OUTER + residual * streams.RESIDUAL
    tile, chunk = int(rng.integers(1, out_extents[0] + 1)), 4 * int(rng.integers(1, 6))
    parts = [wait(memory), source.words(), output.words(), struct.pack("<8B", *kernel, *strides, *before, *dilation),
             struct.pack("<IIIHH", weights, len(packed), parameters, tile, chunk), clamp_words(requantize)]
    if residual:
        in_place = rng.random() < 0.5
        other = output if in_place else memory.image(output.shape, int(rng.integers(-128, 128)))
        values = rng.integers(-128, 128, output.shape).astype(np.int8)
        memory.images.append((other, values))
        addition = random_addition(rng, tensor(output), requantize.zero_point)
        expected = evaluate(addition, expected, values[None])
        parts += [other.words(), streams.sum_block(addition)]
    return finish(memory, operator, streams.command(streams.DWCONV if depthwise else streams.CONV, flags, *parts), output, expected)


def random_addition(rng: np.random.Generator, kind: TensorType, zero: int | None = None) -> LinearCombination:
    zeros = [int(v) for v in rng.integers(-128, 128, 3)]
    if zero is not None:
        zeros[0] = zero
    scales = rng.uniform(0.01, 0.1, 3)
    return LinearCombination.build("fixed", (kind, kind), kind, tuple(zip(scales.tolist(), zeros, strict=True)), 1 if rng.random() < 0.6 else -1)


def pooling(rng: np.random.Generator) -> Case:
    extents, kernel, strides, _, before, out_extents = window(rng, dilated=False)
    c, mode, memory, zero = int(rng.integers(1, 20)), int(rng.integers(3)), Memory(rng), int(rng.integers(-128, 128))
    low, high = (-128, 127) if rng.random() < 0.5 else (-90, 100)
    if mode == 2:  # over the whole image, as the reference's means
        kernel, strides, before, out_extents = extents, (1, 1), (0, 0), (1, 1)
    source, x = memory.source((*extents, c), zero if mode == 2 else 0)
    output = memory.image((*out_extents, c))
    padding = padding_of(extents, kernel, strides, (1, 1), before, out_extents)
    multiplier, shift, target = 0, 0, 0
    if mode == 0:
        operator = MaxPool2d((tensor(source),), tensor(output), kernel, strides, padding, low=low, high=high)
    elif mode == 1:
        operator = AveragePool2d((tensor(source),), tensor(output), kernel, strides, padding, False, 0, None, low, high)
    else:
        operator = Mean.build("fixed", tensor(source), tensor(output), (1, 2), ((0.05, zero), (0.04, 3)), low, high)
        multiplier, shift, target = int(operator.epilogue.multiplier[0]), int(operator.epilogue.shift[0]), 3
    tile, chunk = int(rng.integers(1, out_extents[0] + 1)), 4 * int(rng.integers(1, 6))
    job = streams.command(streams.POOL, 0, wait(memory), source.words(), output.words(), struct.pack("<8B", *kernel, *strides, *before, mode, 0),
                          struct.pack("<ibbbxhxxHH", multiplier, shift, low, high, target, tile, chunk))
    return finish(memory, operator, job, output, evaluate(operator, x[None]))


def addition(rng: np.random.Generator) -> Case:
    memory, shape = Memory(rng), tuple(int(v) for v in rng.integers(1, 9, 3))
    (a, x), (b, y) = memory.source(shape), memory.source(shape)
    output = [a, b, memory.image(shape)][rng.integers(3)]
    operator = random_addition(rng, tensor(output))
    job = streams.command(streams.ADD, 0, wait(memory), a.words(), b.words(), output.words(False), streams.sum_block(operator))
    return finish(memory, operator, job, output, evaluate(operator, x[None], y[None]))


def table(rng: np.random.Generator) -> Case:
    memory, values = Memory(rng), rng.integers(-128, 128, 256).astype(np.int8)
    source, x = memory.source(tuple(int(v) for v in rng.integers(1, 9, 3)))
    output = source if rng.random() < 0.5 else memory.image(source.shape)
    operator = Table((tensor(source),), tensor(output), values)
    address = memory.constant(values.tobytes())
    job = streams.command(streams.LUT, 0, wait(memory), source.words(), output.words(False), struct.pack("<I", address))
    return finish(memory, operator, job, output, evaluate(operator, x[None]))


def softmax(rng: np.random.Generator) -> Case:
    memory = Memory(rng)
    source, x = memory.source((int(rng.integers(1, 4)), int(rng.integers(1, 4)), int(rng.integers(1, 300))))
    output = source if rng.random() < 0.5 else memory.image(source.shape)
    operator = FixedSoftmax.build(tensor(source), tensor(output), float(2.0 ** rng.uniform(-10, 1)))
    job = streams.command(streams.SOFTMAX, 0, wait(memory), source.words(), output.words(False),
                          struct.pack("<iii", operator.multiplier, operator.shift, max(operator.diff_min, -(1 << 31))))
    return finish(memory, operator, job, output, evaluate(operator, x[None]))


KINDS: dict[str, Callable[[np.random.Generator], Case]] = {
    "convolution": convolution, "pooling": pooling, "addition": addition, "table": table, "softmax": softmax,
}
