"""Sums in convolutions: which are fused, and that values are the same integers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nnc_tvm.reference import run_program
from nnc_tvm.relay_passes.fuse_residuals import fuse_residuals
from nnc_tvm.relay_passes.program import Program
from nnc_tvm.schedules.operators import Conv2d
from nnc_tvm.targets.base import Optimize, Target
from nnc_tvm.targets.registry import get_target
from tests.relay_passes.random_programs import Network

TARGET = replace(get_target("x86_cpu", "x86-64-v3"), l1_bytes=0)


def residuals(program: Program, target: Target = TARGET) -> list[bool]:
    """Whether each convolution of the fused program adds; its values are those of `program`, as far as they are left."""
    small = fuse_residuals(program, target)
    rng = np.random.default_rng(0)
    inputs = {name: rng.integers(-128, 128, program.values[name].type.shape).astype(np.int8) for name in program.inputs}
    wanted, got = run_program(program, inputs), run_program(small, inputs)
    assert set(small.values) <= set(got) and set(program.outputs) <= set(got)
    for name, value in got.items():
        np.testing.assert_array_equal(value, wanted[name])
    return [layer.operator.residual is not None for layer in small.layers if isinstance(layer.operator, Conv2d)]


@pytest.mark.parametrize("mode", ["fixed", "float"])
@pytest.mark.parametrize("swap", [False, True])
def test_chain(mode: str, swap: bool) -> None:
    """Two blocks, whose second adds the first's sum; as either input."""
    network = Network(3, mode, prune=0)  # type: ignore[arg-type]
    x = network.input(1, 6, 7, 16)
    for _ in range(2):
        inner = network.conv(network.conv(x, 16), 16)
        x = network.add(inner, x) if swap else network.add(x, inner)
    assert residuals(network.program(x)) == [False, True, False, True]


def test_two_convolutions() -> None:
    """The later one adds the earlier one's output."""
    network = Network(4, "fixed", prune=0)
    x = network.input(1, 6, 7, 16)
    a, b = network.conv(x, 16), network.conv(x, 16, kernel=1, pad=0)
    assert residuals(network.program(network.add(b, a))) == [False, True]


def test_what_stays_apart() -> None:
    """Convolutions that others read or the caller wants, sums of later tensors, of a tensor with itself, of channels that fill no vector, in the cache."""
    def apart(channels: int, build: object, *, wanted: bool = False) -> None:
        network = Network(5, "float", prune=0)
        x = network.input(1, 6, 7, channels)
        inner = network.conv(x, channels)
        outputs = build(network, x, inner)  # type: ignore[operator]
        assert residuals(network.program(*outputs)) == [wanted]

    apart(16, lambda n, x, y: [n.add(y, x)], wanted=True)
    apart(16, lambda n, x, y: [n.add(y, x), y])
    apart(16, lambda n, x, y: [n.add(y, x), n.table(y)])
    apart(16, lambda n, x, y: [n.add(y, n.table(x))])
    apart(16, lambda n, x, y: [n.add(y, y)])
    apart(7, lambda n, x, y: [n.add(y, x)])
    small = Network(6, "float", prune=0)
    x = small.input(1, 6, 7, 16)
    program = small.program(small.add(small.conv(x, 16), x))
    assert len(fuse_residuals(program, replace(TARGET, l1_bytes=3 * 6 * 7 * 16)).layers) == 2


@pytest.mark.parametrize("optimize", ["speed", "balanced"])
@pytest.mark.parametrize(("cell", "wanted"), [(4, False), (1, True)])
def test_forms_that_do_not_add(optimize: Optimize, cell: int, wanted: bool) -> None:
    """Blocks of 4 inputs by 1 output are best as lists of cells, which take no residual: fused the layer would take longer, and more bytes."""
    network = Network(7, "float", prune=0)
    x = network.input(1, 14, 14, 128)
    inner = network.conv(x, 128)
    weight = network.layers[-1].operator.weight.reshape(-1, cell)  # type: ignore[attr-defined]
    weight[network.rng.random(len(weight)) < 0.9] = 0
    assert residuals(network.program(network.add(inner, x)), replace(get_target("x86_cpu", "znver4"), l1_bytes=0, optimize=optimize)) == [wanted]
