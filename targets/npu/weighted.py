"""Convolutions and dense layers, sums in their epilogues too, as jobs: their weights in pieces of some output channels, their input in slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from nnc_tvm.errors import Unsupported
from nnc_tvm.schedules.operators import DepthwiseConv2d
from nnc_tvm.schedules.operators.operator import WeightedSum
from nnc_tvm.schedules.quantization import FixedRequantize
from nnc_tvm.targets.npu.codec import Weights, convolution_weights, depthwise_weights, fits_int4, parameters
from nnc_tvm.targets.npu.config import CHANNELS, Config
from nnc_tvm.targets.npu.nodes import Fused
from nnc_tvm.targets.npu.operands import Image, Sum
from nnc_tvm.targets.npu.piece import ANYWHERE, Piece, fitting, over_its_input
from nnc_tvm.targets.npu.slices import slices
from nnc_tvm.targets.npu.views import Columns, Place, Rows, flattened, moved, seen_view, view
from nnc_tvm.targets.npu.windowed import PARAMETER_BYTES, Conv
from nnc_tvm.targets.npu.windows import windows

PIECE_BYTES = 32 << 10  # of weights that one job loads, about


def weighted_pieces(operator: WeightedSum, config: Config, most: int, fused: Fused | None) -> list[Piece]:
    """Pieces by output channels; depthwise convolutions are one."""
    channels = operator.output.shape[-1]
    each = channels
    int4 = _int4(operator, config)
    if not isinstance(operator, DepthwiseConv2d):
        group, fit = 2 * CHANNELS if int4 else CHANNELS, most // (operator.weight[0].size // (2 if int4 else 1) + PARAMETER_BYTES)
        unit = config.array_channels if fit >= config.array_channels > group else group  # fewer leave a part of the array idle
        room = max(1, fit // unit) * unit
        each = -(-channels // -(-channels // room) // unit) * unit
    return [_piece(operator, config.array, fused, first, min(first + each, channels)) for first in range(0, channels, each)]


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
    weights, window, int4 = _weights(operator, config, first, last, slice_), windows(operator)[0], _int4(operator, config)
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
