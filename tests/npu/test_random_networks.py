"""Random networks on devices of several sizes: equal to the oracle, in the compiler's own time, which is close to the job cycle by cycle."""

from __future__ import annotations

import numpy as np

from nnc_tvm.errors import Unsupported
from nnc_tvm.package.arena import place
from nnc_tvm.schedules.operators import AveragePool2d, Conv2d, DepthwiseConv2d, FixedSoftmax, MaxPool2d, Mean, TensorType
from nnc_tvm.schedules.operators.operator import Operator
from nnc_tvm.targets.npu.clock import job_cost
from nnc_tvm.targets.npu.codegen import generate
from nnc_tvm.targets.npu.commands import Conv, Pool, anywhere
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.constraints import refusal
from nnc_tvm.targets.npu.nodes import DoesNotFit, Node
from nnc_tvm.targets.npu.stepwise import job_cycles
from nnc_tvm.targets.npu.target import MACS
from tests.kernels.cases import random_generator, random_requantize
from tests.npu.cases import padding_of, pair, random_addition
from tests.npu.device import run
from tests.npu.test_stripes import expected

SIZES = (16, 32, 64, 128, 512)  # KiB of SRAM


def random_layer(rng: np.random.Generator, source: TensorType) -> Operator:
    """Windows of up to 7 x 7 with any strides, dilations and paddings; weights of 8 or 4 bits, dense or with zeros; channels from few to many."""
    h, w, c = source.shape[1:]
    kind = str(rng.choice(["conv", "pointwise", "depthwise", "max", "average", "low-rank"], p=[0.3, 0.2, 0.25, 0.1, 0.1, 0.05]))
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
        return AveragePool2d((source,), output, kernel, strides, padding, False, 0, None, -128, 127)
    most, by_channel = (7 if rng.random() < 0.3 else 127), kind == "depthwise"
    weight = rng.integers(-most, most + 1, (*kernel, o) if by_channel else (o, *kernel, c)).astype(np.int16)
    if rng.random() < 0.3:
        weight[rng.random(weight.shape) < 0.95] = 0
    made = DepthwiseConv2d if by_channel else Conv2d
    return made((source,), output, weight, rng.integers(-5000, 5000, o).astype(np.int32),
                random_requantize(rng, "fixed", o, kernel[0] * kernel[1] * (1 if by_channel else c)), int(rng.integers(-128, 128)), strides, padding, dilation)


def random_network(rng: np.random.Generator) -> list[Node]:
    """Layers one after the other, sums with earlier values of the same shape between them, a mean and a softmax at the end."""
    kind = TensorType((1, int(rng.integers(4, 60)), int(rng.integers(4, 60)), int(rng.choice([1, 3, 8, 17, 32, 64]))), "int8")
    values, nodes = [("x", kind)], []

    def add(operator: Operator, *inputs: str) -> None:
        nodes.append(Node(f"layer{len(nodes)}", operator, inputs, f"v{len(nodes)}"))
        values.append((nodes[-1].output, operator.output))

    for _ in range(int(rng.integers(2, 7))):
        name, kind = values[-1]
        same = [value for value, other in values[:-1] if other.shape == kind.shape]
        if same and rng.random() < 0.5:
            add(random_addition(rng, kind), str(rng.choice(same)), name)
        else:
            add(random_layer(rng, kind), name)
    name, kind = values[-1]
    pixel = TensorType((1, 1, 1, kind.shape[3]), "int8")
    add(Mean.build("fixed", kind, pixel, (1, 2), ((0.05, 3), (0.04, -5))), name)
    add(FixedSoftmax.build(pixel, pixel, 0.1), values[-1][0])
    return nodes


def test_random_networks() -> None:
    rng, ran = random_generator(), 0
    while ran < 6:
        nodes = random_network(rng)
        config = Config(macs_per_cycle=int(rng.choice(MACS)), sram_bytes=int(rng.choice(SIZES)) << 10)
        if any(refusal(node.operator, config) for node in nodes):
            continue
        try:
            network = generate(nodes, ["x"], [nodes[-1].output], config, place)
        except Unsupported as error:
            assert isinstance(error, DoesNotFit) and error.node.output in {node.output for node in nodes} and "layer '" in str(error), error
            continue
        ran += 1
        x = rng.integers(-128, 128, nodes[0].operator.inputs[0].shape).astype(np.int8)
        sram = np.zeros(network.sram_bytes, np.uint8)
        sram[network.inputs[0]:][:x.size] = x.reshape(-1).view(np.uint8)
        reason, counters = run(network.stream, network.flash, sram, *config.defines)
        assert reason == "OK", (reason, config, nodes)
        y = expected(nodes, x)
        assert np.array_equal(sram[network.outputs[0]:][:y.size].view(np.int8), y.reshape(-1)), (config, nodes)
        assert counters["cycles"] == network.cycles and counters["sram_peak"] <= config.sram_bytes
        for job in {anywhere(job) for job in network.commands if isinstance(job, Conv | Pool) and 2000 < job_cost(job, config).cycles < 40_000}:
            assert abs(job_cost(job, config).cycles / job_cycles(job, config) - 1) <= 0.1, (job_cost(job, config), config, job)
