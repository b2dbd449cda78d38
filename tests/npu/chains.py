"""Random chains of layers for the NNC-1, and plans of them with cascades."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nnc_tvm.schedules.operators import AveragePool2d, Conv2d, DepthwiseConv2d, MaxPool2d, Table, TensorType
from nnc_tvm.schedules.operators.operator import Operator
from nnc_tvm.targets.npu.nodes import Node
from nnc_tvm.targets.npu.segments import Segment
from nnc_tvm.targets.npu.stripes import divisible
from tests.kernels.cases import random_requantize
from tests.npu.cases import padding_of, pair, random_addition


def random_operator(rng: np.random.Generator, source: TensorType) -> Operator:
    """A layer on an image, with any window that leaves something of it."""
    h, w, c = source.shape[1:]
    kind = ["conv", "depthwise", "pool", "mean", "table"][rng.choice(5, p=[0.4, 0.3, 0.1, 0.1, 0.1])]
    if kind == "table":
        return Table((source,), source, rng.integers(-128, 128, 256).astype(np.int8))
    kernel, strides = pair(rng, 1, 4), pair(rng, 1, 3)
    dilation = (int(rng.integers(1, 3)), 1) if kind in ("conv", "depthwise") and rng.random() < 0.2 else (1, 1)
    span = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    before = tuple(int(rng.integers(s)) for s in span)
    out = tuple(max(1, (size + b + int(rng.integers(s)) - s) // stride + 1) for size, b, s, stride in zip((h, w), before, span, strides, strict=True))
    o = c if kind != "conv" else int(rng.integers(1, 20))
    output, padding = TensorType((1, *out, o), "int8"), padding_of((h, w), kernel, strides, dilation, (before[0], before[1]), (out[0], out[1]))
    if kind == "pool":
        return MaxPool2d((source,), output, kernel, strides, padding, low=-128, high=127)
    if kind == "mean":
        return AveragePool2d((source,), output, kernel, strides, padding, False, 0, None, -128, 127)
    weight = rng.integers(-127, 128, (*kernel, o) if kind == "depthwise" else (o, *kernel, c)).astype(np.int16)
    requantize = random_requantize(rng, "fixed", o, kernel[0] * kernel[1] * (1 if kind == "depthwise" else c))
    bias = rng.integers(-5000, 5000, o).astype(np.int32)
    zero, made = int(rng.integers(-128, 128)), DepthwiseConv2d if kind == "depthwise" else Conv2d
    return made((source,), output, weight, bias, requantize, zero, strides, padding, dilation)


def random_chain(rng: np.random.Generator, length: int, size: tuple[int, int]) -> list[Node]:
    """Each layer on the one before; sums with an earlier value of the same shape in between."""
    values = [("x", TensorType((1, int(rng.integers(*size)), int(rng.integers(*size)), int(rng.integers(1, 20))), "int8"))]
    nodes: list[Node] = []
    while len(nodes) < length:
        name, kind = values[-1]
        same = [value for value, other in values[:-1] if other.shape == kind.shape]
        operator: Operator
        if same and rng.random() < 0.5:
            operator, inputs = random_addition(rng, kind), (str(rng.choice(same)), name)
            inputs = inputs if rng.random() < 0.5 else inputs[::-1]
        else:
            operator, inputs = random_operator(rng, kind), (name,)
        nodes.append(Node(f"layer{len(nodes)}", operator, inputs, f"v{len(nodes)}"))
        values.append((nodes[-1].output, operator.output))
    return nodes


def random_plan(rng: np.random.Generator, nodes: Sequence[Node], alone: bool = False) -> list[Segment]:
    """Cascades wherever values between them are read inside only, other layers in small pieces. alone: stripes of one layer, too."""
    plan: list[Segment] = []
    while not plan or plan[-1].last < len(nodes):
        first = plan[-1].last if plan else 0
        ends = [last for last in range(first + (1 if alone else 2), len(nodes) + 1) if all(divisible(node.operator) for node in nodes[first:last])
                and not {node.output for node in nodes[first:last - 1]} & {name for node in nodes[last:] for name in node.inputs}]
        if ends and rng.random() < 0.8:
            last = int(rng.choice(ends))
            plan.append(Segment(first, last, int(rng.integers(1, nodes[last - 1].operator.output.shape[1] + 1)), upward=bool(rng.random() < 0.3)))
        else:
            plan.append(Segment(first, first + 1, most=2000))
    return plan
