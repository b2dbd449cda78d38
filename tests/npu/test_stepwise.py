"""The closed form of a job's clock against the job cycle by cycle, on layers like those of real networks."""

from __future__ import annotations

import numpy as np
import pytest

from nnc_tvm.frontend import load
from nnc_tvm.relay_passes.pipeline import to_program
from nnc_tvm.targets.npu.clock import job_cost
from nnc_tvm.targets.npu.codegen import generate
from nnc_tvm.targets.npu.commands import Conv, Image, Pool, Window
from nnc_tvm.targets.npu.config import CHANNELS, DEPTH, Config
from nnc_tvm.targets.npu.nodes import Node
from nnc_tvm.targets.npu.stepwise import job_cycles
from tests.kernels.cases import random_generator
from tests.npu.test_codegen import MODELS, place

CONFIG = Config()


def layer(rng: np.random.Generator) -> Conv | Pool:
    """A convolution, depthwise convolution or pool with the tile and chunk that fit best."""
    kind = ["conv", "pointwise", "dense", "depthwise", "pool"][rng.integers(5)]
    size = 1 if kind == "dense" else int(rng.choice([7, 14, 16, 28, 32, 48]))
    kernel = {"conv": 3, "depthwise": 3, "pool": 2}.get(kind, 1)
    stride, pad = (1, kernel // 2) if kind != "pool" else (2, 0)
    if kind in ("conv", "depthwise") and rng.random() < 0.3:
        stride = 2
    c = int(rng.choice([16, 32, 64, 96, 160])) if kind != "dense" else int(rng.integers(64, 500)) * 4
    o = c if kind in ("depthwise", "pool") else int(rng.choice([16, 64, 96, 160])) if kind != "dense" else int(rng.integers(10, 1000))
    out = (size + 2 * pad - kernel) // stride + 1
    source, output, window = Image.dense(0, size, size, c), Image.dense(0, out, out, o), Window((kernel,) * 2, (stride,) * 2, (pad,) * 2)
    by_chunk = kind in ("depthwise", "pool")
    chunk = min(-(-o // CHANNELS) * CHANNELS, 32) if by_chunk else max(CHANNELS, 4096 // (kernel * kernel * c) // CHANNELS * CHANNELS)
    rows = CONFIG.input_buffer_bytes // (2 * size * (min(chunk, c) if by_chunk else c))
    tile = max(1, min(out, (rows - kernel) // stride + 1))
    if kind == "pool":
        return Pool(source, output, window, 0, -128, 127, tile, chunk)
    groups, steps = -(-o // CHANNELS), kernel * kernel if by_chunk else kernel * -(-kernel * c // DEPTH)
    kept = tuple(int(steps * rng.uniform(0.2, 1)) for _ in range(groups)) if not by_chunk and rng.random() < 0.3 else (steps,) * groups
    masks = -(-groups * -(-steps // 8) // 16) * 16 if min(kept) < steps else 0
    size_of = CHANNELS if by_chunk else CHANNELS * DEPTH
    size = sum(kept) * size_of + masks
    return Conv(source, output, window, 0, size, 0, kept, -128, 127, 0, tile, chunk, by_chunk, bool(rng.random() < 0.3), mask_bytes=masks)


def ratio(job: Conv | Pool) -> float:
    return job_cost(job, CONFIG).cycles / job_cycles(job, CONFIG)


def test_layers_like_those_of_networks() -> None:
    """Nine of ten within a tenth. The closed form leaves out that nothing is loaded during the last chunk: a few jobs of two or three chunks that the port
    bounds take a little more."""
    rng, ratios = random_generator(), []
    while len(ratios) < 40:
        job = layer(rng)
        if 2000 < job_cost(job, CONFIG).cycles < 30_000:
            ratios.append(abs(ratio(job) - 1))
    assert np.quantile(ratios, 0.9) <= 0.1 and max(ratios) <= 0.2, ratios


@pytest.mark.parametrize("file", ["kws_ref_model.tflite", "pretrainedResnet_quant.tflite"])
def test_every_layer_of_a_network_is_within_a_tenth(file: str) -> None:
    if not (MODELS / file).exists():
        pytest.skip(f"needs {file}")
    program = to_program(load(MODELS / file).module, "fixed")
    nodes = [Node(layer.name, layer.operator, layer.inputs, layer.output) for layer in program.layers]
    for job in generate(nodes, program.inputs, program.outputs, CONFIG, place).commands:
        if isinstance(job, Conv | Pool):
            assert abs(ratio(job) - 1) <= 0.1, (job_cost(job, CONFIG), job)
