"""From operators to jobs: one function for each kind of operator. What an operator needs of flash travels in pieces, each with its job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import singledispatch

import numpy as np

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
from nnc_tvm.schedules.quantization import FixedRequantize
from nnc_tvm.targets.npu.commands import Job
from nnc_tvm.targets.npu.config import CHANNELS, Config
from nnc_tvm.targets.npu.nodes import Fused
from nnc_tvm.targets.npu.operands import Image, Sum
from nnc_tvm.targets.npu.piece import Piece, fitting, whole
from nnc_tvm.targets.npu.pixelwise import Add, Lut, Mul, Softmax
from nnc_tvm.targets.npu.views import Columns, Place, Rows, extents, moved, seen_view, view
from nnc_tvm.targets.npu.weighted import weighted_pieces
from nnc_tvm.targets.npu.windowed import Pool
from nnc_tvm.targets.npu.windows import windows

PIECE_BYTES = 32 << 10  # of weights that one job loads, about


@singledispatch
def pieces(operator: Operator, config: Config, most: int) -> list[Piece]:
    """The jobs of `operator` in order, each with about `most` bytes of weights at the most. Raises Unsupported where no tile fits the private buffers."""
    raise NotImplementedError(f"the NPU has no command for {type(operator).__name__}")


@pieces.register
def _(operator: Conv2d, config: Config, most: int) -> list[Piece]:
    return weighted_pieces(operator, config, most, None)


@pieces.register
def _(operator: Dense, config: Config, most: int) -> list[Piece]:
    return weighted_pieces(operator, config, most, None)


@pieces.register
def _(operator: DepthwiseConv2d, config: Config, most: int) -> list[Piece]:
    return weighted_pieces(operator, config, most, None)


@pieces.register
def _(operator: Fused, config: Config, most: int) -> list[Piece]:
    return weighted_pieces(operator.first, config, most, operator)


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
    window = windows(operator)[0]

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
