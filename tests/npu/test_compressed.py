"""What compressed weights save on the NNC-1: zero blocks and 4 bits, in networks that wait for flash."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from nnc_tvm.package.arena import place
from nnc_tvm.reference import evaluate
from nnc_tvm.schedules.operators import Conv2d, Dense, TensorType
from nnc_tvm.schedules.quantization import make_requantize
from nnc_tvm.targets.npu.clock import job_cost
from nnc_tvm.targets.npu.codegen import Network
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.nodes import Node
from nnc_tvm.targets.npu.selection import generate
from nnc_tvm.targets.npu.stepwise import job_cycles
from nnc_tvm.targets.npu.windowed import Conv
from tests.kernels.cases import random_generator
from tests.npu.test_codegen import execute


def dense_network(weights: Sequence[np.ndarray]) -> tuple[Network, list[Dense]]:
    """Dense layers one after the other; a weight is (outputs, inputs)."""
    layers = []
    for weight in weights:
        outputs, inputs = weight.shape
        epilogue = make_requantize("fixed", 40 / max(1.0, float(np.abs(weight).sum(axis=1).mean())), 0, -128, 127)
        kinds = [TensorType((1, n), "int8") for n in (inputs, outputs)]
        layers.append(Dense((kinds[0],), kinds[1], weight.astype(np.int16), np.zeros(outputs, np.int32), epilogue, 0))
    nodes = [Node(f"dense{i}", layer, (f"v{i}",), f"v{i + 1}") for i, layer in enumerate(layers)]
    return generate(nodes, ["v0"], [f"v{len(layers)}"], Config(), place), layers


def cycles(weights: Sequence[np.ndarray], rng: np.random.Generator) -> int:
    """Of the network on the device, whose result is the oracle's and whose time the compiler's."""
    network, layers = dense_network(weights)
    x = value = rng.integers(-128, 128, layers[0].inputs[0].shape).astype(np.int8)
    for layer in layers:
        value = evaluate(layer, value)
    (y,), counters = execute(network, [x], [layers[-1].output.shape])
    assert np.array_equal(y, value) and counters["cycles"] == network.cycles
    return network.cycles


@pytest.mark.parametrize("block", [(4, 4), (1, 4)], ids=["4x4", "1x4"])
def test_nine_tenths_of_the_blocks_zero(block: tuple[int, int]) -> None:
    rng = random_generator()
    dense = np.clip(np.rint(rng.normal(0, 40, (512, 1024))), -127, 127)
    kept = rng.random((512 // block[0], 1024 // block[1])) >= 0.9
    sparse = dense * np.kron(kept, np.ones(block))
    assert cycles([sparse], rng) <= 0.30 * cycles([dense], rng)


def test_four_bits_in_a_network_that_waits_for_flash() -> None:
    """The same float weights on 255 steps and on 15, scaled by their channels' largest."""
    rng = random_generator()
    shapes = [(128, 640), (128, 128), (128, 128), (8, 128), (128, 8), (128, 128), (640, 128)]
    floats = [rng.normal(0, 1, shape) for shape in shapes]
    int8, int4 = ([np.rint(w / np.abs(w).max(axis=1, keepdims=True) * most) for w in floats] for most in (127, 7))
    assert cycles(int4, rng) <= 0.75 * cycles(int8, rng)
    network, _ = dense_network(int4)
    assert all(command.int4 for command in network.commands if isinstance(command, Conv))


def test_four_bits_are_twice_as_fast_where_the_array_bounds() -> None:
    rng = random_generator()
    weight = rng.integers(-7, 8, (64, 256))
    kinds = [TensorType((400, n), "int8") for n in (256, 64)]

    def array(w: np.ndarray) -> int:
        layer = Dense((kinds[0],), kinds[1], w.astype(np.int16), np.zeros(64, np.int32), make_requantize("fixed", 0.001, 0, -128, 127), 0)
        network = generate([Node("dense", layer, ("x",), "y")], ["x"], ["y"], Config(), place)
        x = rng.integers(-128, 128, kinds[0].shape).astype(np.int8)
        (y,), counters = execute(network, [x], [kinds[1].shape])
        assert np.array_equal(y, evaluate(layer, x))
        return counters["array"]

    assert array(weight) * 2 == array(weight * 9)


def test_the_clock_of_four_bit_jobs_is_that_of_their_steps() -> None:
    """Convolutions of 4-bit weights, dense and with zero blocks, against array, loader and drain cycle by cycle: as close as those of 8 bits are
    (tests/npu/test_stepwise.py)."""
    rng, config, ratios = random_generator(), Config(), []
    for _ in range(12):
        size, c, o = (int(rng.choice(choices)) for choices in ([8, 12, 16], [16, 32, 64], [32, 64]))
        kernel = int(rng.choice([1, 3]))
        weight = rng.integers(-7, 8, (o, kernel, kernel, c)).astype(np.int16)
        if rng.random() < 0.5:
            weight *= np.kron(rng.random((o // 8, 1, 1, c // 4)) < 0.5, np.ones((8, 1, 1, 4))).astype(np.int16)
        kinds = [TensorType((1, size, size, n), "int8") for n in (c, o)]
        epilogue = make_requantize("fixed", 0.01, 0, -128, 127)
        layer = Conv2d((kinds[0],), kinds[1], weight, np.zeros(o, np.int32), epilogue, 0, (1, 1), (kernel // 2,) * 4, (1, 1))
        for command in generate([Node("conv", layer, ("x",), "y")], ["x"], ["y"], config, place).commands:
            if isinstance(command, Conv):
                assert command.int4
                ratios.append(abs(job_cost(command, config).cycles / job_cycles(command, config) - 1))
    assert np.median(ratios) <= 0.1 and max(ratios) <= 0.2, ratios
