"""From operators to jobs: one function for each kind of operator. What an operator needs of flash travels in pieces, each with its job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, singledispatch

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
from nnc_tvm.targets.npu.codec import Weights, convolution_weights, depthwise_weights, fits_int4, parameters
from nnc_tvm.targets.npu.commands import PARAMETER_BYTES, Add, Conv, Job, Lut, Mul, Pool, Softmax
from nnc_tvm.targets.npu.config import CHANNELS, Config
from nnc_tvm.targets.npu.nodes import Fused
from nnc_tvm.targets.npu.operands import Image, Sum, Window
from nnc_tvm.targets.npu.piece import ANYWHERE, Piece, fitting, over_its_input, whole
from nnc_tvm.targets.npu.slices import slices
from nnc_tvm.targets.npu.views import Columns, Place, Rows, extents, flattened, moved, seen_view, view

PIECE_BYTES = 32 << 10  # of weights that one job loads, about


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
        room = max(1, most // bytes_each // unit) * unit
        each = -(-channels // -(-channels // room) // unit) * unit
    return [_piece(operator, config.array, fused, first, min(first + each, channels)) for first in range(0, channels, each)]


@lru_cache(1 << 10)
def windows(operator: Operator) -> tuple[Window, ...]:
    """What the operator sees of each input for an output element."""
    first = _window(operator.first if isinstance(operator, Fused) else operator)
    return (first, *(Window() for _ in operator.inputs[1:]))


def _window(operator: Operator) -> Window:
    if isinstance(operator, Conv2d | DepthwiseConv2d):
        return Window(operator.kernel, operator.strides, operator.padding[:2], operator.dilation)
    if isinstance(operator, MaxPool2d | AveragePool2d):
        return Window(operator.kernel, operator.strides, operator.padding[:2])
    if isinstance(operator, Mean):
        height, width, _ = extents(operator.inputs[0])
        return Window((height, width), (height, width))
    return Window()


def _int4(operator: WeightedSum, config: Config) -> bool:
    """Whether the array takes the weights two at a time: never more blocks than one at a time, each half as many bytes a weight."""
    return config.int4_weights and not isinstance(operator, DepthwiseConv2d) and fits_int4(operator.weight)


def _weights(operator: WeightedSum, config: Config, first: int, last: int, slice_: int) -> Weights:
    if isinstance(operator, DepthwiseConv2d):
        return depthwise_weights(operator.weight)
    weight = operator.weight[first:last]
    return convolution_weights(weight if weight.ndim == 4 else weight[:, None, None, :], _int4(operator, config), config.skips_zeros, slice_)


@lru_cache(1 << 13)  # a search over plans asks for the same again and again
def _piece(operator: WeightedSum, config: Config, fused: Fused | None, first: int, last: int) -> Piece:
    """Output channels first ... last - 1, with input channels in the slices that take the fewest cycles where all together do not fit or hardly do."""
    found: list[Piece] = []
    refused: list[Unsupported] = []
    for slice_ in _slices(operator, config, fused, first, last):
        try:
            found.append(_sliced(operator, config, fused, first, last, slice_))
        except Unsupported as error:
            refused.append(error)
    if not found:
        raise refused[0]
    return min(found, key=lambda piece: piece.cycles)


def _slices(operator: WeightedSum, config: Config, fused: Fused | None, first: int, last: int) -> Sequence[int]:
    """What is worth trying: all together, some slices; what the layer's first channels take where those skip nothing, since others then take as long."""
    tried = (0, *slices(operator, config))
    if first and len(tried) > 1:
        alike = _piece(operator, config, fused, 0, last - first).jobs(ANYWHERE, 0)[0]
        if isinstance(alike, Conv) and not alike.mask_bytes:
            return (alike.slice,)
    return tried


def _sliced(operator: WeightedSum, config: Config, fused: Fused | None, first: int, last: int, slice_: int) -> Piece:
    """With slices of so many input channels; 0: all together."""
    epilogue = operator.epilogue
    assert isinstance(epilogue, FixedRequantize)
    weights, window, int4 = _weights(operator, config, first, last, slice_), _window(operator), _int4(operator, config)
    count = operator.bias.size
    scaling = replace(epilogue, multiplier=np.broadcast_to(epilogue.multiplier, count)[first:last], shift=np.broadcast_to(epilogue.shift, count)[first:last])
    data = weights.data + parameters(operator.bias[first:last], scaling)

    def build(places: Sequence[Place], at: int, rows: Rows, columns: Columns) -> Conv:
        below = moved(window, rows, columns)
        images = [seen_view(operator.inputs[0], places[0], window, rows, columns, operator.input_zero_point),
                  *(view(operator.output, place, rows, 0, columns) for place in places[1:])]
        source, *results = flattened(images, below)
        output, residual = _slice(results[-1], first, last), None
        if fused is not None:
            residual = (_slice(results[0], first, last), Sum.of(fused.sum, fused.swap))
        return Conv(source, output, below, at, len(weights.data), at + len(weights.data), weights.blocks, epilogue.low, epilogue.high, epilogue.zero_point,
                    1, 2 * CHANNELS if int4 else CHANNELS, isinstance(operator, DepthwiseConv2d), False, epilogue.single_rounding, weights.mask_bytes, residual,
                    int4=int4, slice=slice_)

    piece = fitting(data, build, operator, config, () if fused is None else (1,))
    return over_its_input(piece) if fused is None and last - first == count else piece


def _slice(image: Image, first: int, last: int) -> Image:
    """Some channels of an image."""
    return replace(image, base=image.base + first, channels=last - first)


@pieces.register
def _(operator: MaxPool2d, config: Config, most: int) -> list[Piece]:
    return _pool(operator, config, 0, 0, (int(operator.low), int(operator.high)), None)


@pieces.register
def _(operator: AveragePool2d, config: Config, most: int) -> list[Piece]:
    if operator.epilogue is None:
        return _pool(operator, config, 1, operator.input_zero_point, (operator.low, operator.high), None)
    assert isinstance(operator.epilogue, FixedRequantize)
    return _pool(operator, config, 2, operator.input_zero_point, (operator.epilogue.low, operator.epilogue.high), operator.epilogue)


@pieces.register
def _(operator: Mean, config: Config, most: int) -> list[Piece]:
    assert isinstance(operator.epilogue, FixedRequantize)
    return _pool(operator, config, 2, operator.input_zero_point, (operator.epilogue.low, operator.epilogue.high), operator.epilogue)


def _pool(operator: Operator, config: Config, mode: int, zero_point: int, clamp: tuple[int, int], requantize: FixedRequantize | None) -> list[Piece]:
    numbers = (0, 0, 0) if requantize is None else (int(requantize.multiplier[0]), int(requantize.shift[0]), requantize.zero_point)
    window = _window(operator)

    def build(places: Sequence[Place], at: int, rows: Rows, columns: Columns) -> Pool:
        source = seen_view(operator.inputs[0], places[0], window, rows, columns, zero_point)
        return Pool(source, view(operator.output, places[1], rows, 0, columns), moved(window, rows, columns), mode, *clamp, 1, CHANNELS, *numbers)

    return [fitting(b"", build, operator, config.array)]


def _pixelwise(kind: TensorType, config: Config, data: bytes, overwrites: tuple[int, ...], command: Callable[[list[Image], int], Job]) -> list[Piece]:
    """One job on images of one kind."""

    def build(places: Sequence[Place], at: int, rows: Rows, columns: Columns) -> Job:
        return command([view(kind, place, rows) for place in places], at)

    return [whole(data, build, kind, config, overwrites)]


@pieces.register
def _(operator: LinearCombination, config: Config, most: int) -> list[Piece]:
    numbers = Sum.of(operator)
    return _pixelwise(operator.output, config, b"", (0, 1), lambda images, at: Add(images[0], images[1], images[2], numbers))


@pieces.register
def _(operator: Multiply, config: Config, most: int) -> list[Piece]:
    """The input of the output's shape comes first; the other may be one pixel."""
    requantize, kind = operator.requantize, operator.output
    assert isinstance(requantize, FixedRequantize)
    a, b = (0, 1) if operator.inputs[0].shape == kind.shape else (1, 0)

    def build(places: Sequence[Place], at: int, rows: Rows, columns: Columns) -> Mul:
        first, second = (view(operator.inputs[i], places[i], (0, extents(operator.inputs[i])[0]), operator.zero_points[i]) for i in (a, b))
        return Mul(first, second, view(kind, places[2], rows), int(requantize.multiplier[0]), int(requantize.shift[0]), requantize.low, requantize.high,
                   requantize.zero_point, requantize.single_rounding)

    return [whole(b"", build, kind, config, tuple(i for i in (0, 1) if operator.inputs[i].shape == kind.shape))]


@pieces.register
def _(operator: Table, config: Config, most: int) -> list[Piece]:
    return _pixelwise(operator.output, config, operator.table.astype(np.int8).tobytes(), (0,), lambda images, at: Lut(images[0], images[1], at))


@pieces.register
def _(operator: FixedSoftmax, config: Config, most: int) -> list[Piece]:
    numbers = (operator.multiplier, operator.shift, operator.diff_min)
    return _pixelwise(operator.output, config, b"", (0,), lambda images, at: Softmax(images[0], images[1], *numbers))
