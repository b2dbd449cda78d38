"""What the NNC-1 takes. A constraint is a function of an operator and a configuration; its docstring is the message where it does not hold, and a line
of the support table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
    Reshape,
    Table,
)
from nnc_tvm.schedules.operators.operator import WeightedSum
from nnc_tvm.schedules.quantization import FixedRequantize
from nnc_tvm.targets.npu.config import CHANNELS, DEPTH, Config
from nnc_tvm.targets.npu.jobs import windows as npu_windows
from nnc_tvm.targets.npu.slices import group_bytes, least_weight_bytes
from nnc_tvm.targets.npu.stripes import divisible
from nnc_tvm.targets.npu.views import extents, row_bytes, seen_rows

Constraint = Callable[[Operator, Config], bool]
COMMANDS: dict[type[Operator], str] = {
    Conv2d: "CONV", Dense: "CONV", DepthwiseConv2d: "DWCONV", MaxPool2d: "POOL", AveragePool2d: "POOL", Mean: "POOL", LinearCombination: "ADD", Multiply: "MUL",
    Table: "LUT", FixedSoftmax: "SOFTMAX", Reshape: "",
}
"""What computes each operator; a Reshape is another name for the same memory."""
MOST = (1 << 16) - 1
MOST_PRODUCTS = 1 << 16


def known(operator: Operator, config: Config) -> bool:
    """the operator must have a command"""
    return type(operator) in COMMANDS


def integers(operator: Operator, config: Config) -> bool:
    """inputs and output must be int8"""
    return all(t.dtype == "int8" for t in (*operator.inputs, operator.output))


def one_image(operator: Operator, config: Config) -> bool:
    """tensors must be one image (1, H, W, C) or a matrix, with extents up to 65535"""
    types = (*operator.inputs, operator.output)
    return isinstance(operator, Reshape) or all(max(t.shape, default=1) <= MOST and _image(t.shape) for t in types)


def _image(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 or (len(shape) == 4 and shape[0] == 1)


def fixed(operator: Operator, config: Config) -> bool:
    """requantization must be `fixed` (--requantize fixed)"""
    if isinstance(operator, AveragePool2d) and operator.epilogue is None:
        return True
    epilogue = getattr(operator, "epilogue", getattr(operator, "requantize", None))
    return epilogue is None or isinstance(epilogue, FixedRequantize)


def int8_weights(operator: Operator, config: Config) -> bool:
    """weights must be within -128 ... 127 once their zero point is taken off"""
    return not isinstance(operator, WeightedSum) or bool(operator.weight.min() >= -128 and operator.weight.max() <= 127)


def plain_convolution(operator: Operator, config: Config) -> bool:
    """convolutions must have one group, or one for each channel with a multiplier of 1"""
    if isinstance(operator, DepthwiseConv2d):
        return operator.inputs[0].shape[-1] == operator.output.shape[-1]
    return not isinstance(operator, Conv2d) or operator.groups == 1


def windows(operator: Operator, config: Config) -> bool:
    """kernels, strides, dilations and paddings must be up to 255"""
    fields = ("kernel", "strides", "padding", "dilation")
    return all(0 <= n <= 255 for field in fields for n in getattr(operator, field, ()))


def pooling(operator: Operator, config: Config) -> bool:
    """pooling must have no dilation, one scale, and count what is inside the image"""
    if isinstance(operator, MaxPool2d):
        return operator.dilation == (1, 1)
    if not isinstance(operator, AveragePool2d):
        return True
    inside = not operator.count_include_pad or not any(operator.padding)
    return inside and (operator.epilogue is None or (isinstance(operator.epilogue, FixedRequantize) and operator.epilogue.multiplier.size == 1))


def over_the_image(operator: Operator, config: Config) -> bool:
    """means must be over height and width, both up to 255"""
    return not isinstance(operator, Mean) or (len(operator.inputs[0].shape) == 4 and operator.axes == (1, 2) and max(operator.inputs[0].shape[1:3]) <= 255)


def same_shapes(operator: Operator, config: Config) -> bool:
    """inputs and output must have one shape"""
    return not isinstance(operator, LinearCombination) or all(t.shape == operator.output.shape for t in operator.inputs)


def one_pixel(operator: Operator, config: Config) -> bool:
    """one input must have the output's shape, the other that too or one pixel of the output's channels"""
    if not isinstance(operator, Multiply):
        return True
    shapes, whole = [t.shape for t in operator.inputs], operator.output.shape
    pixel = (*(1 for _ in whole[:-1]), *whole[-1:])
    return whole in shapes and all(shape in (whole, pixel) for shape in shapes)


def small_products(operator: Operator, config: Config) -> bool:
    """requantization of products must not shift them out of int32, 14 bits to the left at most"""
    return not isinstance(operator, Multiply) or (isinstance(operator.requantize, FixedRequantize) and int(operator.requantize.shift.max()) <= 14)


def sums(operator: Operator, config: Config) -> bool:
    """an output must be a sum of up to 65536 products"""
    return not isinstance(operator, Conv2d | Dense) or group_bytes(operator, operator.inputs[0].shape[-1]) // CHANNELS <= MOST_PRODUCTS


def weight_buffer(operator: Operator, config: Config) -> bool:
    """the weights of four output and four input channels must fit the weight buffer"""
    return not isinstance(operator, Conv2d | Dense) or least_weight_bytes(operator) <= config.weight_buffer_bytes


def input_buffer(operator: Operator, config: Config) -> bool:
    """what one pixel of the output needs of four input channels must fit the input buffer"""
    return _pixel_bytes(operator) <= config.input_buffer_bytes


def _pixel_bytes(operator: Operator) -> int:
    """Of the input buffer, for one pixel of the output and four channels, or what is left of them."""
    height, width, channels = extents(operator.inputs[0])
    window = npu_windows(operator)[0]
    rows, columns = min(height, window.kernel[0]), min(width, (window.kernel[1] - 1) * window.dilation[1] + 1)
    packed = group_bytes(operator, channels % DEPTH) // CHANNELS if isinstance(operator, Conv2d) else 0
    return max(rows * columns * min(CHANNELS, channels) if packed == 0 or channels > DEPTH else 0, packed)


def memory(operator: Operator, config: Config) -> bool:
    """inputs and output must fit the SRAM; or of images that stripes can be computed of the rows that one output row needs, with all weights"""
    images = sum(t.bytes for t in operator.inputs) + (0 if isinstance(operator, Multiply | Reshape) else operator.output.bytes)
    if images <= config.sram_bytes or not divisible(operator):
        return images <= config.sram_bytes
    seen = (seen_rows(window, extents(t)[0], (1, 2)) for window, t in zip(npu_windows(operator), operator.inputs, strict=True))
    rows = sum((last - first) * row_bytes(t) for (first, last), t in zip(seen, operator.inputs, strict=True))
    return rows + row_bytes(operator.output) + operator.weight_bytes <= config.sram_bytes


WEIGHTED = (Conv2d, Dense, DepthwiseConv2d)
POOLS = (MaxPool2d, AveragePool2d)
ALL = tuple(COMMANDS)
CONSTRAINTS: dict[Constraint, tuple[type[Operator], ...]] = {
    integers: ALL, one_image: tuple(kind for kind in ALL if kind is not Reshape), fixed: (*WEIGHTED, AveragePool2d, Mean, LinearCombination, Multiply),
    int8_weights: WEIGHTED, plain_convolution: (Conv2d, DepthwiseConv2d), windows: (Conv2d, DepthwiseConv2d, *POOLS), pooling: POOLS,
    over_the_image: (Mean,), same_shapes: (LinearCombination,), one_pixel: (Multiply,),
    small_products: (Multiply,), sums: (Conv2d, Dense), weight_buffer: (Conv2d, Dense),
    input_buffer: (*WEIGHTED, *POOLS, Mean), memory: ALL,
}
"""What must hold of which operators."""


def refusal(operator: Operator, config: Config) -> str | None:
    """Why the NPU does not take the operator: the first constraint that does not hold, and its docstring; None where it takes it."""
    asked = (known, *(constraint for constraint, kinds in CONSTRAINTS.items() if isinstance(operator, kinds)))
    return next((f"{c.__name__}: {c.__doc__}" for c in asked if not c(operator, config)), None)


@dataclass(frozen=True)
class Support:
    """A row of the support table. constraints: their docstrings by their names."""

    operator: str
    command: str
    constraints: dict[str, str]


def support() -> list[Support]:
    """The support table: what the NPU takes, and what must hold for that."""
    return [Support(kind.__name__, command, {c.__name__: str(c.__doc__) for c, kinds in CONSTRAINTS.items() if kind in kinds})
            for kind, command in COMMANDS.items()]
