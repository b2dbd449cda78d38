"""Element-wise layers of one tensor as tables: which are merged, and that values are the same integers."""

from __future__ import annotations

import numpy as np
import pytest

from nnc_tvm.reference import run_program
from nnc_tvm.relay_passes.merge_tables import merge_tables
from nnc_tvm.relay_passes.program import Program
from tests.relay_passes.random_programs import Network

SEED = 11


def merged(program: Program) -> list[str]:
    """The kinds of the merged program's layers; its outputs are those of `program`, for every value of a byte."""
    print("seed", SEED)
    small = merge_tables(program)
    rng = np.random.default_rng(SEED)
    inputs = {name: np.resize(rng.permutation(np.arange(-128, 128)), program.values[name].type.shape).astype(np.int8) for name in program.inputs}
    wanted, got = run_program(program, inputs), run_program(small, inputs)
    for name in program.outputs:
        np.testing.assert_array_equal(got[name], wanted[name])
    return [layer.operator.kind for layer in small.layers]


@pytest.mark.parametrize("mode", ["fixed", "float"])
def test_products_and_sums_of_one_tensor(mode: str) -> None:
    """x * f(x), then its sum with g(x), whatever the order."""
    network = Network(SEED, mode)  # type: ignore[arg-type]
    x = network.input(1, 4, 8, 16)
    y = network.multiply(x, network.table(x))
    assert merged(network.program(y)) == ["table"]
    assert merged(network.program(network.table(network.add(network.table(x), y)))) == ["table"]
    assert merged(network.program(network.add(x, x))) == ["table"]


def test_what_others_read_stays() -> None:
    network = Network(SEED, "float")
    x = network.input(1, 4, 8, 16)
    gate = network.table(x)
    y = network.multiply(x, gate)
    assert merged(network.program(gate, y)) == ["table", "table"]
    assert merged(network.program(network.max_pool(gate), y)) == ["table", "table", "max_pool2d"]


def test_two_tensors_stay_apart() -> None:
    """Another tensor, and a gate of each channel."""
    network = Network(SEED, "float")
    x, other = network.input(1, 4, 8, 16), network.input(1, 4, 8, 16)
    assert merged(network.program(network.multiply(x, network.table(other)))) == ["table", "multiply"]
    network = Network(SEED, "float")
    x, gates = network.input(1, 4, 8, 16), network.input(1, 1, 1, 16)
    assert merged(network.program(network.multiply(network.table(x), network.table(gates)))) == ["table", "table", "multiply"]
