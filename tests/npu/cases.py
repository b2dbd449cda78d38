"""Random jobs of every operator: operator, stream, memories and where the result lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from nnc_tvm.reference import evaluate
from nnc_tvm.schedules.operators import AveragePool2d, Conv2d, DepthwiseConv2d, FixedSoftmax, LinearCombination, MaxPool2d, Mean, Multiply, Table, TensorType
from nnc_tvm.schedules.operators.operator import Operator
from nnc_tvm.schedules.quantization import FixedRequantize
from nnc_tvm.targets.npu import codec
from nnc_tvm.targets.npu.commands import Command, Job, encode
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.operands import Image, Sum, Window
from nnc_tvm.targets.npu.pixelwise import Add, Lut, Mul, Softmax
from nnc_tvm.targets.npu.transfers import Dma
from nnc_tvm.targets.npu.windowed import Conv, Pool
from tests.kernels.cases import random_requantize

NNC1 = Config()
Shape = tuple[int, int, int]
Pair = tuple[int, int]


def shape_of(image: Image) -> Shape:
    return image.height, image.width, image.channels


def addresses(image: Image) -> np.ndarray:
    """Of all elements, (H, W, C)."""
    rows = np.arange(image.height)
    rows = (image.first + rows) % image.wrap if image.wrap else rows
    return image.base + rows[:, None, None] * image.row + np.arange(image.width)[:, None] * image.pixel + np.arange(image.channels)


def read_image(sram: np.ndarray, image: Image) -> np.ndarray:
    return sram[addresses(image)].view(np.int8)


def write_image(sram: np.ndarray, image: Image, values: np.ndarray) -> None:
    sram[addresses(image)] = values.astype(np.int8).view(np.uint8).reshape(shape_of(image))


@dataclass
class Memory:
    """What a case lays out: SRAM from address 16 on with gaps, flash, and the DMAs that bring it to SRAM."""

    rng: np.random.Generator
    top: int = 16
    flash: bytes = b"\xee" * 5
    dmas: list[Dma] = field(default_factory=list)
    images: list[tuple[Image, np.ndarray]] = field(default_factory=list)

    def place(self, size: int) -> int:
        base = self.top + int(self.rng.integers(16))
        self.top = base + size
        return base

    def image(self, shape: Shape, zero: int = 0) -> Image:
        """Any pitches, sometimes rows that wrap."""
        h, w, c = shape
        pixel = c + int(self.rng.integers(0, 5))
        row = w * pixel + int(self.rng.integers(0, 9))
        wrap = h + int(self.rng.integers(3)) if self.rng.random() < 0.3 else 0
        return Image(self.place((wrap or h) * row), h, w, c, pixel, row, zero, int(self.rng.integers(wrap)) if wrap else 0, wrap)

    def source(self, shape: Shape, zero: int = 0) -> tuple[Image, np.ndarray]:
        """An image with random values."""
        values = self.rng.integers(-128, 128, shape).astype(np.int8)
        self.images.append((self.image(shape, zero), values))
        return self.images[-1]

    def constant(self, data: bytes) -> int:
        """`data` in flash, compressed or not, and a DMA that brings it: its address in SRAM."""
        base, compressed = self.place(len(data)), bool(self.rng.random() < 0.7)
        stored = codec.rice(data) if compressed else data
        self.dmas.append(Dma(0, len(self.flash), base, len(stored), len(data), compressed))
        self.flash += stored
        return base


@dataclass
class Case:
    """A stream, its memories, and what the result must be."""

    operator: Operator
    commands: Sequence[Command]
    flash: bytes
    sram: np.ndarray
    output: Image
    expected: np.ndarray

    @property
    def stream(self) -> bytes:
        return encode(self.commands, Config(), self.sram.size, len(self.flash))


def finish(memory: Memory, operator: Operator, job: Job, expected: np.ndarray) -> Case:
    sram = memory.rng.integers(0, 256, memory.top + 8).astype(np.uint8)
    for image, values in memory.images:
        write_image(sram, image, values)
    return Case(operator, [*memory.dmas, job], memory.flash, sram, job.output, expected.reshape(shape_of(job.output)))


def tensor(image: Image) -> TensorType:
    return TensorType((1, *shape_of(image)), "int8")


def pair(rng: np.random.Generator, low: int, high: int) -> Pair:
    return int(rng.integers(low, high)), int(rng.integers(low, high))


def window(rng: np.random.Generator, dilated: bool = True) -> tuple[Pair, Pair, Pair, Pair, Pair, Pair]:
    """(input extents, kernel, strides, dilation, (top, left), output extents); some outputs lie partly in the padding."""
    h, w = pair(rng, 1, 13)
    kernel, strides = pair(rng, 1, 5), pair(rng, 1, 4)
    dilation = pair(rng, 1, 4) if dilated and rng.random() < 0.3 else (1, 1)
    span = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    top, left = (int(rng.integers(0, s)) for s in span)
    covered = [size + before + int(rng.integers(0, s)) for size, before, s in zip((h, w), (top, left), span, strict=True)]
    oh, ow = (max(1, (size - s) // stride + 1) for size, s, stride in zip(covered, span, strides, strict=True))
    return (h, w), kernel, strides, dilation, (top, left), (oh, ow)


def padding_of(image: Pair, kernel: Pair, strides: Pair, dilation: Pair, before: Pair, out: Pair) -> tuple[int, int, int, int]:
    after = [max(0, (out[a] - 1) * strides[a] + (kernel[a] - 1) * dilation[a] + 1 - before[a] - image[a]) for a in (0, 1)]
    return before[0], before[1], after[0], after[1]


def convolution(rng: np.random.Generator, config: Config = NNC1) -> Case:
    """CONV or DWCONV with any of their flags that the device has."""
    depthwise, single, residual, nibbles = rng.random() < 0.35, bool(rng.random() < 0.3), rng.random() < 0.3, rng.random() < 0.3
    extents, kernel, strides, dilation, before, out_extents = window(rng)
    c = int(rng.integers(1, 20))
    o = c if depthwise else int(rng.integers(1, 20))
    memory, zero, largest = Memory(rng), int(rng.integers(-128, 128)), int(rng.integers(1, 8 if nibbles else 128))
    source, x = memory.source((*extents, c), zero)
    output = memory.image((*out_extents, o))
    weight = rng.integers(-largest, largest + 1, (*kernel, o) if depthwise else (o, *kernel, c)).astype(np.int16)
    if rng.random() < 0.4:
        weight[rng.random(weight.shape) < 0.9] = 0
    bias = rng.integers(-5000, 5000, o).astype(np.int32)
    requantize = random_requantize(rng, "fixed", o, kernel[0] * kernel[1] * (1 if depthwise else c))
    assert isinstance(requantize, FixedRequantize)
    requantize = replace(requantize, single_rounding=single)
    kind = DepthwiseConv2d if depthwise else Conv2d
    padding = padding_of(extents, kernel, strides, dilation, before, out_extents)
    operator = kind((tensor(source),), tensor(output), weight, bias, requantize, zero, strides, padding, dilation)
    expected = evaluate(operator, x[None])
    int4 = config.int4_weights and not depthwise and codec.fits_int4(weight)
    rows, chunk, slice_ = int(rng.integers(1, out_extents[0] + 1)), (8 if int4 else 4) * int(rng.integers(1, 6)), 4 * int(rng.integers(1, 5))
    if depthwise or slice_ >= c or rows * out_extents[1] * min(chunk, -(-o // 8) * 8) > config.accumulator_bytes // 4 or rng.random() < 0.3:
        slice_ = 0
    packed = codec.depthwise_weights(weight) if depthwise else codec.convolution_weights(weight, int4, config.skips_zeros, slice_)
    second = None
    if residual:
        other = output if rng.random() < 0.5 else memory.image(shape_of(output), int(rng.integers(-128, 128)))
        values = rng.integers(-128, 128, shape_of(output)).astype(np.int8)
        memory.images.append((other, values))
        addition = random_addition(rng, tensor(output), requantize.zero_point)
        expected = evaluate(addition, expected, values[None])
        second = (other, Sum.of(addition))
    job = Conv(source, output, Window(kernel, strides, before, dilation), memory.constant(packed.data), len(packed.data),
               memory.constant(codec.parameters(bias, requantize)), packed.blocks, requantize.low, requantize.high, requantize.zero_point,
               rows, chunk, depthwise, bool(not slice_ and rng.random() < 0.3), single, packed.mask_bytes, second, len(memory.dmas), int4, slice_,
               bool(rng.random() < 0.3))
    return finish(memory, operator, job, expected)


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
    operator: Operator
    if mode == 0:
        operator = MaxPool2d((tensor(source),), tensor(output), kernel, strides, padding, low=low, high=high)
    elif mode == 1:
        operator = AveragePool2d((tensor(source),), tensor(output), kernel, strides, padding, False, 0, None, low, high)
    else:
        operator = Mean.build("fixed", tensor(source), tensor(output), (1, 2), ((0.05, zero), (0.04, 3)), low, high)
        multiplier, shift, target = int(operator.epilogue.multiplier[0]), int(operator.epilogue.shift[0]), 3
    job = Pool(source, output, Window(kernel, strides, before), mode, low, high, int(rng.integers(1, out_extents[0] + 1)), 4 * int(rng.integers(1, 6)),
               multiplier, shift, target, upward=bool(rng.random() < 0.3))
    return finish(memory, operator, job, evaluate(operator, x[None]))


def addition(rng: np.random.Generator) -> Case:
    memory, shape = Memory(rng), (*pair(rng, 1, 9), int(rng.integers(1, 9)))
    (a, x), (b, y) = memory.source(shape), memory.source(shape)
    output = [a, b, memory.image(shape)][rng.integers(3)]
    operator = random_addition(rng, tensor(output))
    return finish(memory, operator, Add(a, b, output, Sum.of(operator)), evaluate(operator, x[None], y[None]))


def multiplication(rng: np.random.Generator) -> Case:
    """Of images of one shape, or by one pixel."""
    memory, shape, zeros = Memory(rng), (*pair(rng, 1, 9), int(rng.integers(1, 9))), [int(v) for v in rng.integers(-128, 128, 3)]
    (a, x), (b, y) = memory.source(shape, zeros[0]), memory.source(shape if rng.random() < 0.6 else (1, 1, shape[2]), zeros[1])
    over = [replace(image, zero_point=0) for image in (a, b) if shape_of(image) == shape]
    output = [*over, memory.image(shape)][rng.integers(len(over) + 1)]
    scales = rng.uniform(0.01, 0.1, 3)
    operator = Multiply.build("fixed", (tensor(a), tensor(b)), tensor(output), tuple(zip(scales.tolist(), zeros, strict=True)), int(rng.integers(-128, 0)), 127)
    r = operator.requantize
    assert isinstance(r, FixedRequantize)
    job = Mul(a, b, output, int(r.multiplier[0]), int(r.shift[0]), r.low, r.high, r.zero_point, r.single_rounding)
    return finish(memory, operator, job, evaluate(operator, x[None], y[None]))


def table(rng: np.random.Generator) -> Case:
    memory, values = Memory(rng), rng.integers(-128, 128, 256).astype(np.int8)
    source, x = memory.source((*pair(rng, 1, 9), int(rng.integers(1, 9))))
    output = source if rng.random() < 0.5 else memory.image(shape_of(source))
    operator = Table((tensor(source),), tensor(output), values)
    return finish(memory, operator, Lut(source, output, memory.constant(values.tobytes()), 1), evaluate(operator, x[None]))


def softmax(rng: np.random.Generator) -> Case:
    memory = Memory(rng)
    source, x = memory.source((*pair(rng, 1, 4), int(rng.integers(1, 300))))
    output = source if rng.random() < 0.5 else memory.image(shape_of(source))
    operator = FixedSoftmax.build(tensor(source), tensor(output), float(2.0 ** rng.uniform(-10, 1)))
    job = Softmax(source, output, operator.multiplier, operator.shift, max(operator.diff_min, -(1 << 31)))
    return finish(memory, operator, job, evaluate(operator, x[None]))


KINDS: dict[str, Callable[[np.random.Generator], Case]] = {
    "convolution": convolution, "pooling": pooling, "addition": addition, "multiplication": multiplication, "table": table, "softmax": softmax,
}
