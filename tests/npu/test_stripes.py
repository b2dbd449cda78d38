"""Cascades: random chains of layers in stripes of any height, against the oracle and in the compiler's own time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from nnc_tvm.errors import Unsupported
from nnc_tvm.package.arena import place
from nnc_tvm.reference import evaluate
from nnc_tvm.schedules.operators import Conv2d, DepthwiseConv2d, TensorType
from nnc_tvm.targets.npu.clock import job_cost
from nnc_tvm.targets.npu.codegen import for_plan
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.constraints import refusal
from nnc_tvm.targets.npu.nodes import DoesNotFit, Node, fuse_sums
from nnc_tvm.targets.npu.plan import Planner
from nnc_tvm.targets.npu.selection import generate
from nnc_tvm.targets.npu.stripes import cascade, divisible
from nnc_tvm.targets.npu.transfers import Dma
from nnc_tvm.targets.npu.windowed import Conv
from tests.kernels.cases import random_generator, random_requantize
from tests.npu.cases import random_addition
from tests.npu.chains import random_chain, random_plan
from tests.npu.test_codegen import execute


def expected(nodes: Sequence[Node], x: np.ndarray) -> np.ndarray:
    values = {"x": x}
    for node in nodes:
        values[node.output] = evaluate(node.operator, *(values[name] for name in node.inputs))
    return values[nodes[-1].output]


def test_any_cascade_equals_the_oracle() -> None:
    rng, striped = random_generator(), 0
    for number in range(40):
        nodes = random_chain(rng, int(rng.integers(2, 9)), (4, 26))
        x = rng.integers(-128, 128, nodes[0].operator.inputs[0].shape).astype(np.int8)
        planner = Planner(fuse_sums(nodes, (nodes[-1].output,)), ("x",), (nodes[-1].output,), Config())
        plan = random_plan(rng, planner.nodes)
        striped += sum(segment.height is not None for segment in plan)
        network = for_plan(planner, plan, Config(), place)
        (y,), counters = execute(network, [x], [nodes[-1].operator.output.shape])
        assert np.array_equal(y, expected(nodes, x)), (number, plan, nodes)
        assert counters["cycles"] == network.cycles
    assert striped


def test_layers_that_buffers_do_not_hold_are_cut() -> None:
    """Into columns and slices of channels, on a device whose private buffers are small: any cascade equals the oracle, in the compiler's own time."""
    rng, config, cut, sliced = random_generator(), Config(input_buffer_bytes=700, weight_buffer_bytes=600, accumulator_bytes=512), 0, 0
    for number in range(60):
        nodes = random_chain(rng, int(rng.integers(1, 5)), (4, 26))
        x = rng.integers(-128, 128, nodes[0].operator.inputs[0].shape).astype(np.int8)
        if any(refusal(node.operator, config) for node in nodes):
            continue
        planner = Planner(fuse_sums(nodes, (nodes[-1].output,)), ("x",), (nodes[-1].output,), config)
        network = for_plan(planner, random_plan(rng, planner.nodes), config, place)
        cut += any(0 < command.output.width < network.nodes[origin.node].operator.output.shape[2] and command.output.row > command.output.pixel
                   for command, origin in zip(network.commands, network.origins, strict=True) if not isinstance(command, Dma))
        sliced += any(isinstance(command, Conv) and command.slice for command in network.commands)
        (y,), counters = execute(network, [x], [nodes[-1].operator.output.shape], *config.defines)
        assert np.array_equal(y, expected(nodes, x)), (number, nodes)
        assert counters["cycles"] == network.cycles
    assert cut and sliced


def test_cascades_meet_limits_of_sram() -> None:
    """Networks that no order of whole layers has room for, down to the least SRAM that some plan has."""
    rng, limits = random_generator(), 0
    while limits < 8:
        nodes = random_chain(rng, int(rng.integers(3, 7)), (16, 40))
        x = rng.integers(-128, 128, nodes[0].operator.inputs[0].shape).astype(np.int8)
        size = generate(nodes, ("x",), (nodes[-1].output,), Config(), place).sram_bytes
        while True:
            size = int(size * 0.8)
            try:
                network = generate(nodes, ("x",), (nodes[-1].output,), Config(sram_bytes=size), place)
            except Unsupported as error:
                assert isinstance(error, DoesNotFit) and error.node.output in {node.output for node in nodes} and str(size) in str(error)
                break
            limits += 1
            (y,), counters = execute(network, [x], [nodes[-1].operator.output.shape])
            assert np.array_equal(y, expected(nodes, x)), (size, nodes)
            assert counters["cycles"] == network.cycles and counters["sram_peak"] <= network.sram_bytes <= size


def test_rows_are_computed_once_and_kept_while_they_are_read() -> None:
    rng = random_generator()
    for _ in range(40):
        nodes = [node for node in random_chain(rng, 5, (6, 30))]
        if not all(divisible(node.operator) for node in nodes) or any(len({n for n in nodes if value.output in n.inputs}) == 0 for value in nodes[:-1]):
            continue
        found = cascade(nodes, int(rng.integers(1, nodes[-1].operator.output.shape[1] + 1)))
        for number, node in enumerate(nodes):
            spans = [step.rows for step in found.steps if step.node == number]
            assert [first for first, _ in spans] == [0, *(last for _, last in spans[:-1])] and spans[-1][1] == node.operator.output.shape[1]
        assert all(0 < rows <= node.operator.output.shape[1] for node, rows in zip(nodes, found.rings.values(), strict=False))


def test_a_cascade_needs_less_sram_than_its_images() -> None:
    """Inverted residual blocks: the wide images between narrow ones are kept in part."""
    rng = np.random.default_rng(0)
    narrow, wide = (TensorType((1, 32, 32, c), "int8") for c in (8, 48))

    def weights(shape: tuple[int, ...]) -> np.ndarray:
        return rng.integers(-127, 128, shape).astype(np.int16)

    def bias(o: int) -> np.ndarray:
        return rng.integers(-500, 500, o).astype(np.int32)

    nodes = [Node("expand", Conv2d((narrow,), wide, weights((48, 1, 1, 8)), bias(48), random_requantize(rng, "fixed", 48, 8), 0), ("x",), "a"),
             Node("depthwise", DepthwiseConv2d((wide,), wide, weights((3, 3, 48)), bias(48), random_requantize(rng, "fixed", 48, 9), 0, (1, 1), (1, 1, 1, 1)),
                  ("a",), "b"),
             Node("project", Conv2d((wide,), narrow, weights((8, 1, 1, 48)), bias(8), random_requantize(rng, "fixed", 8, 48), 0), ("b",), "c"),
             Node("sum", random_addition(rng, narrow), ("x", "c"), "y")]
    x = rng.integers(-128, 128, narrow.shape).astype(np.int8)
    whole, small = (generate(nodes, ("x",), ("y",), Config(sram_bytes=size), place) for size in (512 << 10, 28 << 10))
    assert small.sram_bytes <= 28 << 10 < wide.bytes < whole.sram_bytes
    assert small.cycles <= 1.2 * whole.cycles
    assert np.array_equal(execute(small, [x], [narrow.shape])[0][0], expected(nodes, x))
    assert sum(job_cost(job, Config()).array for job in small.commands if not isinstance(job, Dma)) <= 1.1 * sum(
        job_cost(job, Config()).array for job in whole.commands if not isinstance(job, Dma))
    with pytest.raises(DoesNotFit, match="layer 'expand' needs"):
        generate(nodes, ("x",), ("y",), Config(sram_bytes=8 << 10), place)
