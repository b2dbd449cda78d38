"""Whole networks on the emulated NNC-1: equal to the oracle, in the compiler's own time."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np
import pytest

from nnc_tvm.frontend import load
from nnc_tvm.package.arena import place
from nnc_tvm.reference import evaluate, run_program
from nnc_tvm.relay_passes.pipeline import to_program
from nnc_tvm.schedules.operators import Conv2d, Mean, Multiply, Table, TensorType
from nnc_tvm.schedules.quantization import make_requantize
from nnc_tvm.targets.npu.clock import job_cost
from nnc_tvm.targets.npu.codegen import Network
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.constraints import refusal
from nnc_tvm.targets.npu.nodes import Node
from nnc_tvm.targets.npu.selection import generate
from nnc_tvm.targets.npu.stepwise import job_cycles
from nnc_tvm.targets.npu.windowed import Conv
from tests.kernels.cases import random_generator
from tests.npu.device import run

MODELS = pathlib.Path(__file__).resolve().parents[3] / "shared" / "models" / "mlperf_tiny"


def execute(network: Network, inputs: Sequence[np.ndarray], shapes: Sequence[tuple[int, ...]], *options: str) -> tuple[list[np.ndarray], dict[str, int]]:
    """options: of the device's compiler."""
    sram, sizes = np.zeros(network.sram_bytes, np.uint8), [int(np.prod(shape)) for shape in shapes]
    sources = [array.reshape(-1).view(np.uint8) for array, at in zip(inputs, network.inputs, strict=True) if at is None]
    for array, at in zip(inputs, network.inputs, strict=True):
        if at is not None:
            sram[at:at + array.size] = array.reshape(-1).view(np.uint8)
    outputs = [np.zeros(size, np.uint8) for size, at in zip(sizes, network.outputs, strict=True) if at is None]
    reason, counters = run(network.stream, network.flash, sram, *options, sources=sources, outputs=outputs)
    assert reason == "OK", (reason, counters["fault_word"])
    lent = iter(outputs)
    found = [next(lent) if at is None else sram[at:at + size] for at, size in zip(network.outputs, sizes, strict=True)]
    return [values.view(np.int8).reshape(shape) for values, shape in zip(found, shapes, strict=True)], counters


@pytest.mark.parametrize(("file", "cycles", "sram"), [
    ("kws_ref_model.tflite", 0.55 * 89_900, 15_974), ("pretrainedResnet_quant.tflite", 0.72 * 201_747, 51_840)])
@pytest.mark.parametrize("limited", [False, True])
def test_mlperf_tiny(file: str, cycles: float, sram: int, limited: bool) -> None:
    if not (MODELS / file).exists():
        pytest.skip(f"needs {file}")
    program = to_program(load(MODELS / file).module, "fixed")
    nodes = [Node(layer.name, layer.operator, layer.inputs, layer.output) for layer in program.layers]
    config = Config(sram_bytes=sram) if limited else Config()
    network = generate(nodes, program.inputs, program.outputs, config, place)
    kind = program.values[program.inputs[0]].type
    dice = np.random.default_rng(0)
    for _ in range(3):
        x = dice.integers(-128, 128, kind.shape).astype(np.int8)
        (y,), counters = execute(network, [x], [program.values[program.outputs[0]].type.shape])
        assert np.array_equal(y, run_program(program, {program.inputs[0]: x})[program.outputs[0]])
    print(file, counters)
    assert counters["cycles"] == network.cycles <= cycles
    assert counters["sram_peak"] <= config.sram_bytes


@pytest.mark.parametrize(("size", "channels", "outputs", "kernel"), [(7, 512, 20, 3), (14, 256, 12, 3), (5, 333, 9, 3), (1, 9216, 16, 1)])
@pytest.mark.parametrize("zeros", [0, 0.8], ids=["dense", "zeros"])
def test_convolutions_that_are_too_deep_for_the_buffers(size: int, channels: int, outputs: int, kernel: int, zeros: float) -> None:
    """Their input comes in slices of channels: equal to the oracle, in the compiler's time, which is that of the job cycle by cycle."""
    rng = random_generator()
    image, result = (TensorType((1, size, size, n), "int8") for n in (channels, outputs))
    weight = rng.integers(-127, 128, (outputs, kernel, kernel, channels)).astype(np.int16)
    weight *= np.repeat(rng.random((outputs, kernel, kernel, -(-channels // 4))) >= zeros, 4, axis=3)[..., :channels].astype(np.int16)
    requantize = make_requantize("fixed", 20 / np.abs(weight).sum(axis=(1, 2, 3)).mean(), 5, -128, 127)
    layer = Conv2d((image,), result, weight, rng.integers(-5000, 5000, outputs).astype(np.int32), requantize, 3, (1, 1), (kernel // 2,) * 4, (1, 1))
    assert refusal(layer, Config()) is None
    network = generate([Node("deep", layer, ("x",), "y")], ["x"], ["y"], Config(), place)
    jobs = [command for command in network.commands if isinstance(command, Conv)]
    assert any(job.slice for job in jobs) or zeros
    x = rng.integers(-128, 128, image.shape).astype(np.int8)
    (y,), counters = execute(network, [x], [result.shape])
    assert np.array_equal(y, evaluate(layer, x)) and counters["cycles"] == network.cycles
    assert len(np.unique(y)) > 10 or outputs * size < 20
    assert all(abs(job_cost(job, Config()).cycles / job_cycles(job, Config()) - 1) <= 0.1 for job in jobs)


def test_channels_are_scaled_by_what_their_means_say() -> None:
    """A squeeze-and-excitation block: mean, dense layers as convolutions, a table, and the product with the image."""
    rng = random_generator()
    image, pixel = TensorType((1, 9, 7, 12), "int8"), TensorType((1, 1, 1, 12), "int8")
    weight, requantize = rng.integers(-90, 90, (12, 1, 1, 12)).astype(np.int16), make_requantize("fixed", 0.01, 5, -128, 127)
    operators = [
        Conv2d((image,), image, weight, np.zeros(12, np.int32), requantize, 3, (1, 1), (0, 0, 0, 0), (1, 1)),
        Mean.build("fixed", image, pixel, (1, 2), ((0.05, 5), (0.02, -7))),
        Conv2d((pixel,), pixel, weight, np.zeros(12, np.int32), requantize, -7, (1, 1), (0, 0, 0, 0), (1, 1)),
        Table((pixel,), pixel, rng.integers(-128, 128, 256).astype(np.int8)),
        Multiply.build("fixed", (pixel, image), image, ((0.004, -128), (0.05, 5), (0.04, 1))),
    ]
    names = [("x",), ("a",), ("b",), ("c",), ("d", "a")]
    assert all(refusal(operator, Config()) is None for operator in operators)
    nodes = [Node(name, operator, inputs, name) for name, operator, inputs in zip("abcde", operators, names, strict=True)]
    network = generate(nodes, ["x"], ["e"], Config(), place)
    values = {"x": rng.integers(-128, 128, image.shape).astype(np.int8)}
    for node in nodes:
        values[node.output] = evaluate(node.operator, *(values[name] for name in node.inputs))
    (y,), counters = execute(network, [values["x"]], [image.shape])
    assert np.array_equal(y, values["e"]) and counters["cycles"] == network.cycles
    assert len(np.unique(y)) > 10
