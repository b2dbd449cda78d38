"""Inputs and outputs that stay in the host's memory, in stripes that the stream fetches and stores."""

from __future__ import annotations

import numpy as np
import pytest

from nnc_tvm.package.arena import place
from nnc_tvm.reference import evaluate
from nnc_tvm.schedules.operators import Mean, Multiply, Reshape, TensorType
from nnc_tvm.targets.npu.clock import timeline
from nnc_tvm.targets.npu.codegen import for_plan
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.nodes import DoesNotFit, Node
from nnc_tvm.targets.npu.segments import Segment
from nnc_tvm.targets.npu.selection import best_network, generate, network_of, planner_of
from nnc_tvm.targets.npu.streaming import choices
from nnc_tvm.targets.npu.transfers import LENT, Fetch, Transfer
from tests.kernels.cases import random_generator
from tests.npu.cases import random_addition
from tests.npu.chains import random_chain, random_operator, random_plan
from tests.npu.test_chasing import conv
from tests.npu.test_codegen import execute
from tests.npu.test_stripes import expected


def test_any_plan_with_any_value_in_the_host_s_memory_equals_the_oracle() -> None:
    """Layers whole and in stripes, alone and in cascades: the driver takes the stream, results are the oracle's, cycles and bytes the compiler's."""
    rng, ran = random_generator(), 0
    while ran < 60:
        nodes = random_chain(rng, int(rng.integers(1, 7)), (8, 40))
        x, output = rng.integers(-128, 128, nodes[0].operator.inputs[0].shape).astype(np.int8), nodes[-1].operator.output
        for planner in planner_of(nodes, ("x",), (nodes[-1].output,), Config()).streaming:
            plan = random_plan(rng, planner.nodes, alone=True)
            network = for_plan(planner, plan, Config(), place)
            (y,), counters = execute(network, [x], [output.shape])
            assert np.array_equal(y, expected(nodes, x)), (plan, planner.streamed, nodes)
            assert counters["cycles"] == network.cycles == timeline(network.commands, Config())[1]
            assert (network.inputs[0] is None, network.outputs[0] is None) == ("x" in planner.streamed, nodes[-1].output in planner.streamed)
            assert counters["host_read"] == sum(command.bytes for command in network.commands if isinstance(command, Fetch))
            assert bool(counters["host_read"]) == ("x" in planner.streamed)
            assert counters["host_written"] == (output.bytes if nodes[-1].output in planner.streamed else 0)
            ran += 1


def test_images_larger_than_the_sram() -> None:
    """Down to the least SRAM that some plan has: what all of the input, or the output, has no room in."""
    rng, larger = random_generator(), {"input": 0, "output": 0}
    while min(larger.values()) < 6:
        nodes = random_chain(rng, int(rng.integers(1, 5)), (24, 64))
        x, output = rng.integers(-128, 128, nodes[0].operator.inputs[0].shape).astype(np.int8), nodes[-1].operator.output
        size = max(x.size, output.bytes)
        while True:
            size = int(size * 0.7)
            config = Config(sram_bytes=size)
            try:
                network = best_network(planner_of(nodes, ("x",), (nodes[-1].output,), config), config, place)
            except DoesNotFit:
                break
            (y,), counters = execute(network, [x], [output.shape])
            assert np.array_equal(y, expected(nodes, x)), (size, nodes)
            assert counters["cycles"] == network.cycles and counters["sram_peak"] <= network.sram_bytes <= size
            assert (network.inputs[0] is None or x.size <= size) and (network.outputs[0] is None or output.bytes <= size)
            larger["input"] += x.size > size
            larger["output"] += output.bytes > size


def test_what_has_room_stays_in_sram() -> None:
    """The host copies it there before the run and from there after it, which costs the device nothing."""
    rng = random_generator()
    for _ in range(4):
        nodes = random_chain(rng, 4, (20, 40))
        planner = planner_of(nodes, ("x",), (nodes[-1].output,), Config())
        network = best_network(planner, Config(), place)
        assert None not in (*network.inputs, *network.outputs) and network.cycles == network_of(planner, Config(), place).cycles


def test_stripes_move_beside_the_array() -> None:
    """Of a layer that the array bounds all but the first stripe's input and the last one's output is moved while it computes."""
    rng, image = random_generator(), TensorType((1, 64, 16, 16), "int8")
    layer = conv(rng, image, 16, 5, 1)
    planner = planner_of([Node("conv", layer, ("x",), "y")], ("x",), ("y",), Config()).streaming[-1]
    assert planner.streamed == {"x": 0, "y": 1}
    network = for_plan(planner, [Segment(0, 1, 8)], Config(), place)
    x = rng.integers(-128, 128, image.shape).astype(np.int8)
    (y,), counters = execute(network, [x], [image.shape])
    assert np.array_equal(y, evaluate(layer, x))
    spans, cycles = timeline(network.commands, Config())
    jobs = [number for number, command in enumerate(network.commands) if not isinstance(command, Transfer)]
    before, after = spans[jobs[0]].start, cycles - spans[jobs[-1]].end
    assert len(jobs) == 8 and counters["stall_flash"] == before
    assert after <= image.bytes / 8 + 200 and before <= image.bytes * 10 / 64 + layer.weight.size + 600


def test_reshapes_are_other_names_of_what_is_streamed() -> None:
    rng = random_generator()
    flat, image = TensorType((1, 24 * 32 * 8), "int8"), TensorType((1, 24, 32, 8), "int8")
    layer = conv(rng, image, 12, 3, 1)
    back = TensorType((1, layer.output.elements), "int8")
    nodes = [Node("in", Reshape((flat,), image), ("x",), "a"), Node("conv", layer, ("a",), "b"), Node("out", Reshape((layer.output,), back), ("b",), "y")]
    assert choices(nodes, ("x",), ("y",)) == [{"x": 0, "a": 0}, {"b": 0, "y": 0}, {"x": 0, "a": 0, "b": 1, "y": 1}]
    x = rng.integers(-128, 128, flat.shape).astype(np.int8)
    network = generate(nodes, ("x",), ("y",), Config(sram_bytes=5000), place)
    assert network.inputs == network.outputs == (None,)
    (y,), counters = execute(network, [x], [back.shape])
    assert np.array_equal(y, expected(nodes, x)) and counters["cycles"] == network.cycles


def test_an_input_is_fetched_when_it_is_read_again() -> None:
    """A product of the input with what its mean says: by a layer that has no stripes, all of it, twice."""
    rng, image, pixel = random_generator(), TensorType((1, 16, 16, 24), "int8"), TensorType((1, 1, 1, 24), "int8")
    nodes = [Node("mean", Mean.build("fixed", image, pixel, (1, 2), ((0.05, 5), (0.02, -7))), ("x",), "m"),
             Node("product", Multiply.build("fixed", (image, pixel), image, ((0.05, 5), (0.02, -7), (0.04, 1))), ("x", "m"), "y")]
    x = rng.integers(-128, 128, image.shape).astype(np.int8)
    for planner in planner_of(nodes, ("x",), ("y",), Config()).streaming:
        network = for_plan(planner, [Segment(0, 1), Segment(1, 2)], Config(), place)
        (y,), counters = execute(network, [x], [image.shape])
        assert np.array_equal(y, evaluate(nodes[1].operator, x, evaluate(nodes[0].operator, x)))
        assert counters["host_read"] == (2 * image.bytes if "x" in planner.streamed else 0)


def test_the_largest_inputs_and_an_output_that_nobody_reads_are_streamed() -> None:
    rng, small, large = random_generator(), TensorType((1, 8, 8, 3), "int8"), TensorType((1, 40, 40, 3), "int8")
    first, second, other = random_operator(rng, small), conv(rng, large, 4, 3, 1), conv(rng, TensorType((1, 40, 40, 4), "int8"), 4, 1, 1)
    nodes = [Node("a", first, ("s",), "a"), Node("b", second, ("l",), "b"), Node("c", other, ("b",), "c"), Node("d", other, ("o",), "d")]
    assert choices(nodes, ("s", "l", "o"), ("c",)) == [{"o": 0}, {"l": 0, "o": 1}, {"c": 0}, {"o": 0, "c": 1}, {"l": 0, "o": 1, "c": 2}]
    assert choices(nodes[:3], ("s", "l"), ("b",)) == [{"l": 0}]  # the last layer reads it
    assert choices(nodes[:1], ("s",), ("a",)) == []  # too small
    many = [Node(f"n{number}", other, (f"i{number}",), f"v{number}") for number in range(LENT + 1)]
    found = choices(many, [f"i{number}" for number in range(LENT + 1)], ("v0",))
    assert max(max(each.values()) for each in found) == LENT - 1 and len(found) == 2 * (LENT - 1) + 1


def test_two_inputs_larger_than_the_sram() -> None:
    """The sum of what two convolutions make of an image each, or of one as it is: all of it in the host's memory."""
    rng = random_generator()
    for both in (True, False):
        image = TensorType((1, int(rng.integers(30, 50)), 24, 9), "int8")
        nodes = [Node("left", conv(rng, image, 9, 3, 1), ("x",), "a"), Node("right", conv(rng, image, 9, 5, 1), ("z",), "b")]
        nodes = [*(nodes if both else nodes[:1]), Node("sum", random_addition(rng, image), ("a", "b" if both else "z"), "y")]
        values = {name: rng.integers(-128, 128, image.shape).astype(np.int8) for name in ("x", "z")}
        network = generate(nodes, ("x", "z"), ("y",), Config(sram_bytes=image.bytes * 9 // 10), place)
        assert network.inputs == (None, None) and network.outputs == (None,)
        (y,), counters = execute(network, [values["x"], values["z"]], [image.shape])
        for node in nodes:
            values[node.output] = evaluate(node.operator, *(values[name] for name in node.inputs))
        assert np.array_equal(y, values["y"]) and counters["cycles"] == network.cycles
        assert counters["host_read"] >= 2 * image.bytes and counters["host_written"] == image.bytes


def test_what_no_stripes_have_room_for_is_refused_by_name() -> None:
    rng, image = random_generator(), TensorType((1, 32, 32, 16), "int8")
    nodes = [Node("wide", conv(rng, image, 16, 3, 1), ("x",), "y")]
    with pytest.raises(DoesNotFit, match=r"layer 'wide' needs \d+ bytes of SRAM") as refused:
        generate(nodes, ("x",), ("y",), Config(sram_bytes=2000), place)
    assert refused.value.needed < image.bytes / 2
    network = generate(nodes, ("x",), ("y",), Config(sram_bytes=refused.value.needed), place)
    assert network.inputs == network.outputs == (None,) and network.sram_bytes <= refused.value.needed
