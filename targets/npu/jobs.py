"""From operators to jobs: one function for each kind of operator. What an operator needs of flash travels in pieces, each with its job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import singledispatch

import numpy as np

from nnc_tvm.errors import Unsupported
from nnc_tvm.schedules.operators import (
    AveragePool2d,
    Conv2d,
    Dense,
    DepthwiseConv2d,
    FixedSoftmax,
    LinearCombination,
    MaxPool2d,
    Mean,
    Multiply,
    Operator,
    Table,
    TensorType,
)
from nnc_tvm.schedules.operators.operator import WeightedSum
from nnc_tvm.schedules.quantization import FixedRequantize
from nnc_tvm.targets.npu.clock import job_cost
from nnc_tvm.targets.npu.codec import Weights, convolution_weights, depthwise_weights, fits_int4, parameters
from nnc_tvm.targets.npu.commands import PARAMETER_BYTES, Add, Conv, Image, Job, Lut, Mul, Pool, Softmax, Sum, Window
from nnc_tvm.targets.npu.config import CHANNELS, Config
from nnc_tvm.targets.npu.tiling import best_tiling

IN_PLACE_COST = 1.1  # what writing over the input may cost, times the fastest tiling's cycles
PIECE_BYTES = 24 << 10  # of weights that one job loads, about
MOST_ROWS = (1 << 16) - 1


@dataclass(frozen=True, eq=False)
class Piece:
    """One job of an operator. data: what it needs of flash, b"" where nothing. build(images, data) -> the job, from the SRAM offsets of
    the operator's inputs and output, and of the data. overwrites: inputs that the output may lie exactly on."""

    data: bytes
    build: Callable[[Sequence[int], int], Job]
    overwrites: tuple[int, ...] = ()

    def may_overwrite(self, position: int) -> bool:
        return position in self.overwrites

    def job(self, images: Sequence[int], data: int) -> Job:
        return self.build(images, data)


@dataclass(frozen=True, eq=False)
class Fused(Operator):
    """y = sum(first(x), r); swap: r is the sum's first input. inputs: (x, r)."""

    first: WeightedSum
    sum: LinearCombination
    swap: bool

    @property
    def kind(self) -> str:
        """That of the sum: the result is its."""
        return self.sum.kind

    @property
    def macs(self) -> int:
        return self.first.macs


def image(kind: TensorType, base: int, zero_point: int = 0) -> Image:
    """An image (1, H, W, C), or a matrix as a column of pixels."""
    height, width, channels = kind.shape[1:] if len(kind.shape) == 4 else (kind.shape[0], 1, kind.shape[1])
    return Image.dense(base, height, width, channels, zero_point)


@singledispatch
def pieces(operator: Operator, config: Config, most: int) -> list[Piece]:
    """The jobs of `operator` in order, each with about `most` bytes of weights at the most. Raises Unsupported where no tile fits the private buffers."""
    raise NotImplementedError(f"the NPU has no command for {type(operator).__name__}")


@pieces.register
def _(operator: Conv2d, config: Config, most: int) -> list[Piece]:
    return _convolution(operator, config, most, None)


@pieces.register
def _(operator: Dense, config: Config, most: int) -> list[Piece]:
    return _convolution(operator, config, most, None)


@pieces.register
def _(operator: DepthwiseConv2d, config: Config, most: int) -> list[Piece]:
    return _convolution(operator, config, most, None)


@pieces.register
def _(operator: Fused, config: Config, most: int) -> list[Piece]:
    return _convolution(operator.first, config, most, operator)


def _convolution(operator: WeightedSum, config: Config, most: int, fused: Fused | None) -> list[Piece]:
    """Pieces by output channels; depthwise convolutions are one."""
    channels = operator.output.shape[-1]
    each = channels
    int4 = _int4(operator, config)
    if not isinstance(operator, DepthwiseConv2d):
        unit = 2 * CHANNELS if int4 else CHANNELS
        bytes_each = operator.weight[0].size // (2 if int4 else 1) + PARAMETER_BYTES
        room = max(1, min(PIECE_BYTES, most) // bytes_each // unit) * unit
        each = -(-channels // -(-channels // room) // unit) * unit
    return [_piece(operator, config, fused, first, min(first + each, channels)) for first in range(0, channels, each)]


def _window(operator: WeightedSum) -> Window:
    if isinstance(operator, Conv2d | DepthwiseConv2d):
        return Window(operator.kernel, operator.strides, operator.padding[:2], operator.dilation)
    return Window()


def _int4(operator: WeightedSum, config: Config) -> bool:
    """Whether the array takes the weights two at a time: never more blocks than one at a time, each half as many bytes a weight."""
    return config.int4_weights and not isinstance(operator, DepthwiseConv2d) and fits_int4(operator.weight)


def _weights(operator: WeightedSum, config: Config, first: int, last: int) -> Weights:
    if isinstance(operator, DepthwiseConv2d):
        return depthwise_weights(operator.weight)
    weight = operator.weight[first:last]
    return convolution_weights(weight if weight.ndim == 4 else weight[:, None, None, :], _int4(operator, config), config.skips_zeros)


def _piece(operator: WeightedSum, config: Config, fused: Fused | None, first: int, last: int) -> Piece:
    """Output channels first ... last - 1."""
    epilogue = operator.epilogue
    assert isinstance(epilogue, FixedRequantize)
    weights, window, int4 = _weights(operator, config, first, last), _window(operator), _int4(operator, config)
    count = operator.bias.size
    whole = replace(epilogue, multiplier=np.broadcast_to(epilogue.multiplier, count)[first:last], shift=np.broadcast_to(epilogue.shift, count)[first:last])
    data = weights.data + parameters(operator.bias[first:last], whole)

    def build(images: Sequence[int], at: int) -> Conv:
        source = _flat(image(operator.inputs[0], images[0], operator.input_zero_point), window)
        output = _slice(_flat(image(operator.output, images[-1]), window), first, last)
        residual = None
        if fused is not None:
            residual = (replace(output, base=images[1] + first), Sum.of(fused.sum, fused.swap))
        return Conv(source, output, window, at, len(weights.data), at + len(weights.data), weights.blocks, epilogue.low, epilogue.high, epilogue.zero_point,
                    1, 2 * CHANNELS if int4 else CHANNELS, isinstance(operator, DepthwiseConv2d), False, epilogue.single_rounding, weights.mask_bytes, residual,
                    int4=int4)

    tiled = best_tiling(build([0, 0, 0][:2 + (fused is not None)], 0), config)
    if tiled is None:
        raise Unsupported(f"a row of {operator.inputs[0].shape} does not fit the NPU's input buffer of {config.input_buffer_bytes} bytes")
    over = best_tiling(build([0, 0], 0), config, in_place=True) if fused is None and last - first == count else None
    if over is not None and job_cost(over, config).cycles <= IN_PLACE_COST * job_cost(tiled, config).cycles:
        tiled = over
    shape = (tiled.tile_rows, tiled.chunk, tiled.chunks_outer)

    def job(images: Sequence[int], at: int) -> Job:
        return replace(build(images, at), tile_rows=shape[0], chunk=shape[1], chunks_outer=shape[2])

    return Piece(data, job, (1,) if fused is not None else (0,) if tiled is over else ())


def _flat(whole: Image, window: Window) -> Image:
    """For 1x1 windows the rows are one column of pixels, which tiles cut anywhere."""
    rows = whole.height * whole.width
    if window != Window() or rows > MOST_ROWS:
        return whole
    return Image.dense(whole.base, rows, 1, whole.channels, whole.zero_point)


def _slice(whole: Image, first: int, last: int) -> Image:
    """Some channels of an image."""
    return replace(whole, base=whole.base + first, channels=last - first)


@pieces.register
def _(operator: MaxPool2d, config: Config, most: int) -> list[Piece]:
    window = Window(operator.kernel, operator.strides, operator.padding[:2])
    return _pool(operator, config, window, 0, 0, (int(operator.low), int(operator.high)), None)


@pieces.register
def _(operator: AveragePool2d, config: Config, most: int) -> list[Piece]:
    window = Window(operator.kernel, operator.strides, operator.padding[:2])
    if operator.epilogue is None:
        return _pool(operator, config, window, 1, operator.input_zero_point, (operator.low, operator.high), None)
    assert isinstance(operator.epilogue, FixedRequantize)
    return _pool(operator, config, window, 2, operator.input_zero_point, (operator.epilogue.low, operator.epilogue.high), operator.epilogue)


@pieces.register
def _(operator: Mean, config: Config, most: int) -> list[Piece]:
    _, height, width, _ = operator.inputs[0].shape
    assert isinstance(operator.epilogue, FixedRequantize)
    window = Window((height, width), (height, width))
    return _pool(operator, config, window, 2, operator.input_zero_point, (operator.epilogue.low, operator.epilogue.high), operator.epilogue)


def _pool(operator: Operator, config: Config, window: Window, mode: int, zero_point: int, clamp: tuple[int, int],
          requantize: FixedRequantize | None) -> list[Piece]:
    numbers = (0, 0, 0) if requantize is None else (int(requantize.multiplier[0]), int(requantize.shift[0]), requantize.zero_point)

    def build(images: Sequence[int], at: int) -> Pool:
        source = image(operator.inputs[0], images[0], zero_point)
        return Pool(source, image(operator.output, images[1]), window, mode, *clamp, 1, CHANNELS, *numbers)

    tiled = best_tiling(build([0, 0], 0), config)
    if tiled is None:
        raise Unsupported(f"windows {window.kernel} of {operator.inputs[0].shape} do not fit the NPU's input buffer of {config.input_buffer_bytes} bytes")
    shape = (tiled.tile_rows, tiled.chunk)
    return [Piece(b"", lambda images, at: replace(build(images, at), tile_rows=shape[0], chunk=shape[1]))]


@pieces.register
def _(operator: LinearCombination, config: Config, most: int) -> list[Piece]:
    numbers, kind = Sum.of(operator), operator.output
    return [Piece(b"", lambda images, at: Add(image(kind, images[0]), image(kind, images[1]), image(kind, images[2]), numbers), (0, 1))]


@pieces.register
def _(operator: Multiply, config: Config, most: int) -> list[Piece]:
    """The input of the output's shape comes first; the other may be one pixel."""
    requantize, kind = operator.requantize, operator.output
    assert isinstance(requantize, FixedRequantize)
    a, b = (0, 1) if operator.inputs[0].shape == kind.shape else (1, 0)

    def job(images: Sequence[int], at: int) -> Mul:
        first, second = (image(operator.inputs[i], images[i], operator.zero_points[i]) for i in (a, b))
        return Mul(first, second, image(kind, images[2]), int(requantize.multiplier[0]), int(requantize.shift[0]), requantize.low, requantize.high,
                   requantize.zero_point, requantize.single_rounding)

    return [Piece(b"", job, tuple(i for i in (0, 1) if operator.inputs[i].shape == kind.shape))]


@pieces.register
def _(operator: Table, config: Config, most: int) -> list[Piece]:
    kind = operator.output
    return [Piece(operator.table.astype(np.int8).tobytes(), lambda images, at: Lut(image(kind, images[0]), image(kind, images[1]), at), (0,))]


@pieces.register
def _(operator: FixedSoftmax, config: Config, most: int) -> list[Piece]:
    numbers, kind = (operator.multiplier, operator.shift, operator.diff_min), operator.output
    return [Piece(b"", lambda images, at: Softmax(image(kind, images[0]), image(kind, images[1]), *numbers), (0,))]
