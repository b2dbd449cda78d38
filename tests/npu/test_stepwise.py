"""The clock of a job against the job cycle by cycle, on layers like those of real networks and on every layer of some."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nnc_tvm.frontend import load
from nnc_tvm.relay_passes.pipeline import to_program
from nnc_tvm.targets.npu.clock import job_cost
from nnc_tvm.targets.npu.config import ARRAYS as ARRAYS_BY_NAME
from nnc_tvm.targets.npu.config import CHANNELS, DEPTH, U55_LIKE, Config
from nnc_tvm.targets.npu.constraints import refusal
from nnc_tvm.targets.npu.nodes import Node
from nnc_tvm.targets.npu.operands import Image, Window
from nnc_tvm.targets.npu.selection import generate
from nnc_tvm.targets.npu.stepwise import job_cycles
from nnc_tvm.targets.npu.totals import totals
from nnc_tvm.targets.npu.windowed import Conv, Pool, anywhere
from tests.kernels.cases import random_generator
from tests.npu.test_codegen import MODELS, place

ARRAYS = pytest.mark.parametrize("config", ARRAYS_BY_NAME.values(), ids=ARRAYS_BY_NAME)


def layer(rng: np.random.Generator, config: Config) -> Conv | Pool:
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
    rows = config.input_buffer_bytes // (2 * size * (min(chunk, c) if by_chunk else c))
    tile = max(1, min(out, (rows - kernel) // stride + 1))
    if kind == "pool":
        return Pool(source, output, window, 0, -128, 127, tile, chunk)
    groups, steps = -(-o // CHANNELS), kernel * kernel if by_chunk else kernel * -(-kernel * c // DEPTH)
    kept = tuple(int(steps * rng.uniform(0.2, 1)) for _ in range(groups)) if not by_chunk and config.skips_zeros and rng.random() < 0.3 else (steps,) * groups
    masks = -(-groups * -(-steps // 8) // 16) * 16 if min(kept) < steps else 0
    size_of = CHANNELS if by_chunk else CHANNELS * DEPTH
    size = sum(kept) * size_of + masks
    return Conv(source, output, window, 0, size, 0, kept, -128, 127, 0, tile, chunk, by_chunk, bool(rng.random() < 0.3), mask_bytes=masks)


def ratio(job: Conv | Pool, config: Config) -> float:
    return job_cost(job, config).cycles / job_cycles(job, config)


@ARRAYS
def test_layers_like_those_of_networks(config: Config) -> None:
    rng, seen = random_generator(), 0
    while seen < 40:
        job = layer(rng, config)
        if 2000 < job_cost(job, config).cycles < 30_000:
            seen += 1
            assert abs(ratio(job, config) - 1) <= 0.1, (job_cost(job, config), job)


@ARRAYS
def test_buffers_that_are_full_leave_no_room_to_load_ahead(config: Config) -> None:
    """Weights of one chunk take five sixths of their buffer: the next one's wait until the last pixels of this one's tile."""
    source, output = Image.dense(0, 196, 1, 384), Image.dense(0, 196, 1, 96)
    blocks = (384 // DEPTH,) * (96 // CHANNELS)
    job = Conv(source, output, Window(), 0, 384 * 96, 0, blocks, -128, 127, 0, 42, 16)
    roomy = replace(config, weight_buffer_bytes=2 * config.weight_buffer_bytes)
    assert abs(ratio(job, config) - 1) <= 0.02 and abs(ratio(job, roomy) - 1) <= 0.02
    assert job_cost(job, config).cycles > 1.1 * job_cost(job, roomy).cycles


@ARRAYS
@pytest.mark.parametrize(("file", "sram", "arrays"), [
    ("mlperf_tiny/kws_ref_model.tflite", 22_192, 2), ("mlperf_tiny/pretrainedResnet_quant.tflite", 51_840, 2), ("generated/mobilenetv2_u8s8.onnx", 500_736, 1)])
def test_every_layer_of_a_network_is_within_a_tenth(file: str, sram: int, arrays: int, config: Config) -> None:
    """The largest on the first array alone."""
    if not (MODELS.parent / file).exists() or config not in list(ARRAYS_BY_NAME.values())[:arrays]:
        pytest.skip(f"needs {file}")
    program = to_program(load(MODELS.parent / file).module, "fixed")
    taken = [layer for layer in program.layers if refusal(layer.operator, config) is None]
    nodes = [Node(layer.name, layer.operator, layer.inputs, layer.output) for layer in taken]
    network = generate(nodes, [taken[0].inputs[0]], [taken[-1].output], replace(config, sram_bytes=sram), place)
    jobs = {anywhere(job) for job in network.commands if isinstance(job, Conv | Pool)}
    assert len(jobs) >= 5
    for job in jobs:
        assert abs(ratio(job, config) - 1) <= 0.1, (job_cost(job, config), job)


def test_searches_stop_at_what_no_tiling_goes_below() -> None:
    rng = random_generator()
    for _ in range(100):
        job, config = layer(rng, U55_LIKE), list(ARRAYS_BY_NAME.values())[rng.integers(2)]
        assert totals(job, config).least_cycles(config) <= job_cost(job, config).cycles
