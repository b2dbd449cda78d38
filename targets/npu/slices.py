"""Slices of input channels: what a convolution that is too deep for the buffers sees at once, while its accumulators stay."""

from __future__ import annotations

from nnc_tvm.schedules.operators import DepthwiseConv2d
from nnc_tvm.schedules.operators.operator import WeightedSum
from nnc_tvm.targets.npu.config import CHANNELS, DEPTH, Config
from nnc_tvm.targets.npu.windows import windows

CROWDED = 4  # buffers that hold fewer groups of weights, or rows of a tile's input, are full too soon
COUNTS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 512)
MOST = 4  # of the sizes that fit


def slices(operator: WeightedSum, config: Config) -> list[int]:
    """Sizes of slices worth trying, the largest first: some that the buffers hold, where they hardly hold all channels."""
    channels = operator.inputs[0].shape[-1]
    if isinstance(operator, DepthwiseConv2d) or not _crowded(operator, config):
        return []
    sizes = dict.fromkeys(DEPTH * -(-channels // (DEPTH * count)) for count in COUNTS if DEPTH * count <= channels)
    return [size for size in sizes if group_bytes(operator, size) <= config.weight_buffer_bytes][:MOST]


def least_weight_bytes(operator: WeightedSum) -> int:
    """Of the weight buffer, for four output channels and a slice of four input channels."""
    return group_bytes(operator, min(DEPTH, operator.inputs[0].shape[-1]))


def group_bytes(operator: WeightedSum, channels: int) -> int:
    """Of four output channels' weights with so many input channels, none zero."""
    kh, kw = windows(operator)[0].kernel
    return CHANNELS * DEPTH * kh * -(-kw * channels // DEPTH)


def _crowded(operator: WeightedSum, config: Config) -> bool:
    """Whether CROWDED groups' weights, or the input of so many output rows, are too much for a buffer."""
    shape = operator.inputs[0].shape
    width = shape[2] if len(shape) == 4 and windows(operator)[0].kernel != (1, 1) else 1
    rows = min(windows(operator)[0].kernel[0], shape[1]) if len(shape) == 4 else 1
    return (CROWDED * group_bytes(operator, shape[-1]) > config.weight_buffer_bytes or CROWDED * rows * width * shape[-1] > config.input_buffer_bytes)
