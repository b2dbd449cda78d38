"""Random networks on devices of several sizes: equal to the oracle, in the compiler's own time, which is close to the job cycle by cycle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nnc_tvm.errors import Unsupported
from nnc_tvm.package.arena import place
from nnc_tvm.schedules.operators import (
    AveragePool2d,
    Conv2d,
    Dense,
    DepthwiseConv2d,
    FixedSoftmax,
    MaxPool2d,
    Mean,
    Multiply,
    Reshape,
    Table,
    TensorType,
)
from nnc_tvm.schedules.operators.operator import Operator
from nnc_tvm.targets.npu.clock import job_cost
from nnc_tvm.targets.npu.config import ARRAYS
from nnc_tvm.targets.npu.constraints import refusal
from nnc_tvm.targets.npu.nodes import DoesNotFit, Node
from nnc_tvm.targets.npu.selection import best_network, planner_of
from nnc_tvm.targets.npu.stepwise import job_cycles
from nnc_tvm.targets.npu.target import MACS
from nnc_tvm.targets.npu.windowed import Conv, Pool, anywhere
from tests.kernels.cases import random_generator, random_requantize
from tests.npu.cases import padding_of, pair, random_addition
from tests.npu.test_codegen import execute
from tests.npu.test_stripes import expected

SIZES = (16, 32, 64, 128, 512)  # KiB of SRAM


def random_layer(rng: np.random.Generator, source: TensorType) -> Operator:
    """Windows of up to 7 x 7 with any strides, dilations and paddings; weights of 8 or 4 bits, dense or with zeros; channels from few to many."""
    h, w, c = source.shape[1:]
    kind = str(rng.choice(["conv", "pointwise", "depthwise", "max", "average", "low-rank", "table", "softmax"], p=[0.25, 0.15, 0.2, 0.1, 0.1, 0.05, 0.1, 0.05]))
    if kind == "table":
        return Table((source,), source, rng.integers(-128, 128, 256).astype(np.int8))
    if kind == "softmax":
        return FixedSoftmax.build(source, source, 0.1)
    kernel, strides = pair(rng, 1, 8) if kind in ("conv", "depthwise") else pair(rng, 1, 4), pair(rng, 1, 3)
    dilation = pair(rng, 1, 3) if kind in ("conv", "depthwise") and rng.random() < 0.2 else (1, 1)
    if kind in ("pointwise", "low-rank"):
        kernel, strides = (1, 1), (1, 1)
    span = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    before = tuple(int(rng.integers(s)) for s in span)
    oh, ow = (max(1, (size + b + int(rng.integers(s)) - s) // stride + 1) for size, b, s, stride in zip((h, w), before, span, strides, strict=True))
    o = {"conv": int(rng.integers(1, 60)), "pointwise": int(rng.integers(1, 200)), "low-rank": max(1, c // 8)}.get(kind, c)
    output, padding = TensorType((1, oh, ow, o), "int8"), padding_of((h, w), kernel, strides, dilation, (before[0], before[1]), (oh, ow))
    if kind == "max":
        return MaxPool2d((source,), output, kernel, strides, padding, low=-128, high=127)
    if kind == "average":
        zero = int(rng.integers(-128, 128))
        return AveragePool2d.build("fixed", source, output, kernel, strides, padding, False, ((0.05, zero), (float(rng.choice([0.05, 0.03])), zero)), -128, 127)
    most, by_channel = (7 if rng.random() < 0.3 else 127), kind == "depthwise"
    weight = rng.integers(-most, most + 1, (*kernel, o) if by_channel else (o, *kernel, c)).astype(np.int16)
    if rng.random() < 0.3:
        weight[rng.random(weight.shape) < 0.95] = 0
    made = DepthwiseConv2d if by_channel else Conv2d
    return made((source,), output, weight, rng.integers(-5000, 5000, o).astype(np.int32),
                random_requantize(rng, "fixed", o, kernel[0] * kernel[1] * (1 if by_channel else c)), int(rng.integers(-128, 128)), strides, padding, dilation)


def dense(rng: np.random.Generator, source: TensorType, outputs: int) -> Dense:
    inputs = source.shape[1]
    weight = rng.integers(-127, 128, (outputs, inputs)).astype(np.int16)
    return Dense((source,), TensorType((1, outputs), "int8"), weight, rng.integers(-5000, 5000, outputs).astype(np.int32),
                 random_requantize(rng, "fixed", outputs, inputs), int(rng.integers(-128, 128)))


def product(rng: np.random.Generator, kind: TensorType, other: TensorType) -> Multiply:
    scales, zeros = rng.uniform(0.01, 0.1, 3), [int(v) for v in rng.integers(-128, 128, 3)]
    return Multiply.build("fixed", (kind, other), kind, tuple(zip(scales.tolist(), zeros, strict=True)))


def random_network(rng: np.random.Generator) -> list[Node]:
    """Layers one after the other; between them sums and products with earlier values of the same shape, products with their own means; at the end a mean,
    dense layers and a softmax."""
    kind = TensorType((1, int(rng.integers(4, 60)), int(rng.integers(4, 60)), int(rng.choice([1, 3, 8, 17, 32, 64]))), "int8")
    values, nodes = [("x", kind)], []

    def add(operator: Operator, *inputs: str) -> None:
        nodes.append(Node(f"layer{len(nodes)}", operator, inputs, f"v{len(nodes)}"))
        values.append((nodes[-1].output, operator.output))

    def mean(name: str, kind: TensorType) -> TensorType:
        pixel = TensorType((1, 1, 1, kind.shape[3]), "int8")
        add(Mean.build("fixed", kind, pixel, (1, 2), ((0.05, 3), (0.04, -5))), name)
        return pixel

    for _ in range(int(rng.integers(2, 7))):
        name, kind = values[-1]
        same = [value for value, other in values[:-1] if other.shape == kind.shape]
        if same and rng.random() < 0.5:
            add(random_addition(rng, kind) if rng.random() < 0.7 else product(rng, kind, kind), str(rng.choice(same)), name)
        elif rng.random() < 0.1:
            add(product(rng, kind, mean(name, kind)), name, values[-1][0])
        else:
            add(random_layer(rng, kind), name)
    pixel = mean(*values[-1])
    add(Reshape((pixel,), TensorType((1, pixel.shape[3]), "int8")), values[-1][0])
    for _ in range(int(rng.integers(0, 3))):
        add(dense(rng, values[-1][1], int(rng.integers(1, 300))), values[-1][0])
    add(FixedSoftmax.build(values[-1][1], values[-1][1], 0.1), values[-1][0])
    return nodes


def test_random_networks() -> None:
    rng, ran = random_generator(), 0
    while ran < 4:
        nodes = random_network(rng)
        array = ARRAYS[str(rng.choice(list(ARRAYS)))]
        config = replace(array, macs_per_cycle=int(rng.choice(MACS)), sram_bytes=int(rng.choice(SIZES)) << 10)
        if any(refusal(node.operator, config) for node in nodes):
            continue
        try:
            network = best_network(planner_of(nodes, ["x"], [nodes[-1].output], config), config, place)
        except Unsupported as error:
            assert isinstance(error, DoesNotFit) and error.node.output in {node.output for node in nodes} and "layer '" in str(error), error
            continue
        ran += 1
        x = rng.integers(-128, 128, nodes[0].operator.inputs[0].shape).astype(np.int8)
        (y,), counters = execute(network, [x], [nodes[-1].operator.output.shape], *config.defines)
        assert np.array_equal(y, expected(nodes, x)), (config, nodes)
        assert counters["cycles"] == network.cycles and counters["sram_peak"] <= config.sram_bytes
        for job in {anywhere(job) for job in network.commands if isinstance(job, Conv | Pool) and 2000 < job_cost(job, config).cycles < 40_000}:
            assert abs(job_cost(job, config).cycles / job_cycles(job, config) - 1) <= 0.1, (job_cost(job, config), config, job)
