"""Structured pruning: what shrinks, what must not, and that outputs are the unshrunk program's, integer for integer."""

from __future__ import annotations

import pathlib
from dataclasses import replace

import numpy as np
import pytest

from nnc_tvm.reference import run_program
from nnc_tvm.relay_passes.program import Program
from nnc_tvm.relay_passes.prove_accumulators import accumulator_bound
from nnc_tvm.relay_passes.shrink_channels import shrink_channels
from nnc_tvm.schedules.operators import Conv2d
from nnc_tvm.schedules.operators.operator import WeightedSum
from nnc_tvm.schedules.quantization import FloatRequantize
from tests.relay_passes.random_programs import Network


def assert_same(program: Program, seed: int) -> Program:
    """Shrinks `program` and compares its outputs on random inputs; every layer still fits its values."""
    small = shrink_channels(program)
    for layer in small.layers:
        assert layer.operator.output.shape == small.values[layer.output].type.shape
        assert [t.shape for t in layer.operator.inputs] == [small.values[name].type.shape for name in layer.inputs]
    for wide, slim in zip(program.layers, small.layers, strict=True):
        assert accumulator_bound(slim.operator) <= accumulator_bound(wide.operator)
        assert slim.operator.weight_bytes <= wide.operator.weight_bytes
    rng = np.random.default_rng(seed)
    for _ in range(2):
        inputs = {name: rng.integers(-128, 128, program.values[name].type.shape).astype(np.int8) for name in program.inputs}
        wide, slim = run_program(program, inputs), run_program(small, inputs)
        for name in program.outputs:
            np.testing.assert_array_equal(wide[name], slim[name])
    return small


def channels(program: Program) -> list[int]:
    """The output channels of the layers with weights."""
    return [layer.operator.output.shape[-1] for layer in program.layers if isinstance(layer.operator, WeightedSum)]


@pytest.mark.parametrize("mode", ["fixed", "float"])
def test_random_networks(mode: str) -> None:
    seed = int(np.random.default_rng().integers(2**31))
    print("seed", seed)
    shrunk = 0
    for k in range(60):
        network = Network(seed + k, mode, prune=float(np.random.default_rng(seed + k).choice([0.3, 0.6, 0.9, 1.0])))
        program = network.body(steps=5)
        print("network", k, [layer.operator.kind for layer in program.layers])
        shrunk += assert_same(program, k) is not program
    assert shrunk > 10


def prune(program: Program, name: str, filters: list[int], bias: int = 0) -> Program:
    """`program` with zero filters in a layer."""
    layers = []
    for layer in program.layers:
        if layer.name == name:
            weight, biases = layer.operator.weight.copy(), layer.operator.bias.copy()
            weight[filters], biases[filters] = 0, bias
            layer = replace(layer, operator=replace(layer.operator, weight=weight, bias=biases))
        layers.append(layer)
    return replace(program, layers=tuple(layers))


@pytest.mark.parametrize("pruned, kept", [(1, 32), (3, 32), (8, 24), (9, 24), (15, 24), (16, 16), (31, 8)])
def test_widths_that_suit_kernels(pruned: int, kept: int) -> None:
    """Kept channels come in multiples, and what is hardly pruned stays whole."""
    n = Network(10, "float", prune=0)
    x = n.conv(n.input(1, 4, 4, 3), 32, 1, 1, 0)
    y = n.conv(n.add(x, n.conv(x, 32)), 4, 1, 1, 0)
    program = n.program(y)
    for name in (x, program.layers[1].name):
        program = prune(program, name, list(range(pruned)))
    small = shrink_channels(program, multiple=8, most=0.9)
    assert channels(small) == [kept, kept, 4]
    inputs = {"x0": np.random.default_rng(0).integers(-128, 128, (1, 4, 4, 3)).astype(np.int8)}
    np.testing.assert_array_equal(run_program(small, inputs)[y], run_program(program, inputs)[y])


def test_an_unpruned_program_is_left_alone() -> None:
    program = Network(1, "float", prune=0).body(6)
    assert shrink_channels(program) is program


def test_a_chain() -> None:
    n = Network(2, "float", prune=0)
    x = n.conv(n.input(1, 5, 5, 3), 8, 1, 1, 0)
    y = n.conv(n.table(x), 4, 1, 1, 0)
    small = assert_same(prune(n.program(y), x, [0, 3, 7], bias=500), 2)
    assert channels(small) == [5, 4]
    assert [layer.form for layer in small.layers] == ["structured", "dense", "structured"]
    assert small.layers[0].note.startswith("5 of 8 output and 3 of 3 input channels")


@pytest.mark.parametrize("bias, pad, kept", [(0, 1, 5), (3000, 0, 5), (3000, 1, 8)])
def test_borders(bias: int, pad: int, kept: int) -> None:
    """A constant that is not the zero point cannot be folded where a consumer reads zero padding."""
    n = Network(3, "float", prune=0)
    x = n.conv(n.input(1, 5, 5, 3), 8, 1, 1, 0)
    y = n.conv(x, 4, 3, 1, pad)
    program = prune(n.program(y), x, [0, 3, 7], bias)
    first = program.layers[0].operator
    assert isinstance(first.epilogue, FloatRequantize)
    value = np.rint(bias * first.epilogue.scale[0])
    assert bias == 0 or value >= 1
    assert channels(assert_same(program, 3)) == [kept, 4]


def test_taps_that_never_read_the_border_fold() -> None:
    n = Network(4, "float", prune=0)
    x = n.conv(n.input(1, 5, 5, 3), 8, 1, 1, 0)
    y = n.conv(x, 4, 3, 1, 1)
    program = prune(n.program(y), x, [0, 3, 7], 3000)
    second = program.layers[1].operator
    assert isinstance(second, Conv2d)
    weight = second.weight.copy()
    weight[:, [0, 2]] = 0
    weight[:, :, [0, 2]] = 0
    program = replace(program, layers=(program.layers[0], replace(program.layers[1], operator=replace(second, weight=weight))))
    assert channels(assert_same(program, 4)) == [5, 4]


def test_the_group_of_a_residual_sum_decides() -> None:
    n = Network(5, "float", prune=0)
    x = n.conv(n.input(1, 5, 5, 3), 8)
    inner = n.conv(x, 8)
    y = n.conv(n.add(inner, x), 4, 1, 1, 0)
    program = prune(n.program(y), inner, [0, 1, 2])
    assert channels(shrink_channels(program)) == [8, 8, 4]
    assert channels(assert_same(prune(program, x, [1, 2, 5]), 5)) == [6, 6, 4]


def test_through_concat_pooling_and_flatten() -> None:
    n = Network(6, "fixed", prune=0)
    image = n.input(1, 4, 4, 3)
    a, b = n.conv(image, 6), n.conv(image, 4)
    y = n.dense(n.flatten(n.max_pool(n.concat(a, b)), channels_first=True), 5)
    small = assert_same(prune(prune(n.program(y), a, [0, 5]), b, [2]), 6)
    assert channels(small) == [4, 3, 5]
    assert small.layers[-1].operator.inputs[0].shape == (1, 25 * 7)


def test_channels_that_nothing_reads() -> None:
    """Weights of zero for an input channel free its producer, whatever that holds."""
    n = Network(7, "fixed", prune=0)
    x = n.depthwise(n.conv(n.input(1, 4, 4, 3), 6))
    y = n.conv(x, 4, 1, 1, 0)
    program = n.program(y)
    last = program.layers[-1].operator
    assert isinstance(last, Conv2d)
    weight = last.weight.copy()
    weight[..., [1, 4]] = 0
    program = replace(program, layers=(*program.layers[:-1], replace(program.layers[-1], operator=replace(last, weight=weight))))
    assert channels(assert_same(program, 7)) == [4, 4, 4]


def test_everything_pruned() -> None:
    """A network of zeros keeps one channel of each tensor and its outputs."""
    n = Network(8, "fixed", prune=1)
    assert channels(assert_same(n.program(n.dense(n.mean(n.residual(n.conv(n.input(1, 4, 4, 3), 6))), 3)), 8)) == [1, 1, 1, 3]


def test_outputs_keep_their_channels() -> None:
    n = Network(9, "float", prune=0)
    x = n.conv(n.input(1, 4, 4, 3), 6)
    y = n.conv(x, 4)
    assert channels(assert_same(prune(n.program(x, y), x, [1]), 9)) == [6, 4]


def test_a_pruned_resnet(tmp_path: pathlib.Path) -> None:
    """Half the filters of ResNet-18: half the multiplications, the same integers."""
    import subprocess
    import sys

    shared = pathlib.Path(__file__).parents[2].parent / "shared"
    model, tool = shared / "models/generated/resnet18_u8s8.onnx", shared / "tools/prune_onnx.py"
    if not model.exists() or not tool.exists():
        pytest.skip("needs shared/models/generated/resnet18_u8s8.onnx and shared/tools/prune_onnx.py")
    from nnc_tvm.frontend import load
    from nnc_tvm.relay_passes.pipeline import to_program

    path = tmp_path / "filters.onnx"
    subprocess.run([sys.executable, tool, model, path, "filters", "0.5"], check=True)
    program = to_program(load(path).module, "float")
    small = shrink_channels(program)
    macs, weights = ([sum(getattr(layer.operator, what) for layer in p.layers) for p in (small, program)] for what in ("macs", "weight_bytes"))
    assert macs[0] <= 0.51 * macs[1]
    assert weights[0] <= 0.55 * weights[1]
    x = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    wide, slim = (run_program(p, {"x": x}) for p in (program, small))
    for name in program.outputs:
        np.testing.assert_array_equal(wide[name], slim[name])
