"""What operators see of their inputs for an element of the output."""

from __future__ import annotations

from functools import lru_cache

from nnc_tvm.schedules.operators import AveragePool2d, Conv2d, DepthwiseConv2d, MaxPool2d, Mean, Operator
from nnc_tvm.targets.npu.nodes import Fused
from nnc_tvm.targets.npu.operands import Window
from nnc_tvm.targets.npu.views import extents


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
