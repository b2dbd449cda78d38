"""Which sums stay float."""

from __future__ import annotations

import pathlib

import numpy as np

from nnc_tvm.quantize.plan import Plan
from nnc_tvm.quantize.prepare import prepare
from tests.quantize.networks import Network, load_network

WIDTH = 16


def block(n: Network, x: str) -> str:
    """A branch of a pre-norm transformer, added to the stream."""
    return n.node("Add", n.linear(n.node("Relu", n.linear(n.layer_norm(x, WIDTH), WIDTH, WIDTH)), WIDTH, WIDTH), x)


def left_float(n: Network, folder: pathlib.Path, *outputs: str) -> set[str]:
    plan = Plan(prepare(load_network(folder, n.model(*outputs)).module))
    assert not plan.left_float & set(plan.points)
    return {v.name for v in plan.left_float}


def test_the_residual_stream_of_a_transformer(tmp_path: pathlib.Path) -> None:
    n = Network([1, 6, WIDTH], 1)
    first = block(n, n.linear("x", WIDTH, WIDTH))
    second = block(n, first)
    assert left_float(n, tmp_path, n.linear(n.layer_norm(second, WIDTH), WIDTH, 4)) == {first, second}


def test_a_mean_behind_the_stream_takes_it_as_it_comes(tmp_path: pathlib.Path) -> None:
    n = Network([1, 6, WIDTH], 1)
    first = block(n, n.linear("x", WIDTH, WIDTH))
    second = block(n, first)
    assert left_float(n, tmp_path, n.linear(n.node("ReduceMean", second, axes=[1], keepdims=0), WIDTH, 4)) == {first, second}


def test_sums_that_layers_read_are_integers(tmp_path: pathlib.Path) -> None:
    """Before a convolution, before a mean without a layer normalization anywhere, and before a function that a convolution reads."""
    n = Network([1, 8, 6, 6], 1)
    a = n.node("Add", n.conv("x", 8, 8), "x")
    b = n.node("Add", n.conv(n.node("Sigmoid", a), 8, 8), a)
    c = n.node("Relu", n.node("Add", n.conv(b, 8, 8), b))
    assert not left_float(n, tmp_path, n.node("Gemm", n.node("Flatten", n.node("GlobalAveragePool", c)), n.normal(8, 4)))


def test_a_sum_that_is_a_result_and_a_concatenation_that_is_one(tmp_path: pathlib.Path) -> None:
    n = Network([1, 8, 6, 6], 1)
    a, b = n.conv("x", 8, 8), n.conv("x", 8, 8)
    total = n.node("Add", a, n.node("Mul", b, np.float32(1.5)))
    assert left_float(n, tmp_path, total, n.node("Concat", a, b, axis=1)) == {total}
