"""Which tensors are rounded."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

from nnc_tvm.quantize.fold_batch_norm import fold_batch_norm
from nnc_tvm.quantize.plan import Plan
from nnc_tvm.quantize.prepare import prepare
from nnc_tvm.relay_passes.graph import Graph, operator_name
from tests.quantize.networks import NETWORKS, Network, load_network

SEED = 1
POINTS = {
    "residual": ["x", "relu1", "conv2", "relu4", "averagepool5", "gemm7", "softmax8"],
    "activations": ["x", "conv0", "mul2", "clip4", "conv5", "leakyrelu6", "conv7", "tanh8"],
    "squeeze_excite": ["x", "relu1", "globalaveragepool2", "hardsigmoid4", "mul5"],
    "branches": ["x", "relu1", "conv2", "concat4", "resize5"],
    "batch_norm": ["x", "relu3"],
}


def plan_of(name: str, folder: pathlib.Path) -> Plan:
    return Plan(prepare(load_network(folder, NETWORKS[name](SEED)).module))


def names(variables: Any) -> list[str]:
    return [v.name for v in variables]


@pytest.mark.parametrize("name", POINTS)
def test_points(name: str, tmp_path: pathlib.Path) -> None:
    plan = plan_of(name, tmp_path)
    assert names(plan.points) == POINTS[name]


def test_layer_normalization_stays_float(tmp_path: pathlib.Path) -> None:
    plan = plan_of("attention", tmp_path)
    rounded = {operator_name(plan.call(v)) for v in plan.points}
    assert not rounded & {"relax.mean", "relax.power", "relax.sqrt", "relax.divide", "relax.subtract"}


def test_concatenation_shares_its_scale(tmp_path: pathlib.Path) -> None:
    plan = plan_of("branches", tmp_path)
    shares = {p.variable.name: p.shares.name for p in plan.points.values() if p.shares is not None}
    assert set(shares.values()) == {"concat4"} and len(shares) == 3  # both branches, and the resize after


def test_a_layer_kept_float_reads_and_writes_reals(tmp_path: pathlib.Path) -> None:
    module = prepare(load_network(tmp_path, NETWORKS["batch_norm"](SEED)).module)
    plan = Plan(module)
    kept = Plan(module, plan.contractions()[:1])
    assert len(kept.contractions()) == 1 and names(kept.points) == names(plan.points)[1:]


def test_batch_norm_is_folded(tmp_path: pathlib.Path) -> None:
    module = prepare(load_network(tmp_path, NETWORKS["batch_norm"](SEED)).module)
    kinds = [operator_name(v) for v in Graph(module["main"]).definitions.values()]
    assert kinds.count("relax.multiply") == 0 and kinds.count("relax.add") == 2
    assert len(Graph(fold_batch_norm(module)["main"]).definitions) == len(kinds)


def test_initial_states_of_recurrent_layers_are_folded(tmp_path: pathlib.Path) -> None:
    """Parts of a constant of zeros, their products and what is added to these: nothing of them is left to calibrate."""
    n = Network([5, 1, 4], SEED)
    state = np.zeros((2, 1, 3), np.float32)
    h = n.node("Slice", state, np.array([1]), np.array([2]), np.array([0]))
    product = n.node("MatMul", n.node("Squeeze", h, np.array([0])), n.normal(3, 3))
    h = n.node("Add", product, n.node("MatMul", n.node("Squeeze", "x", np.array([1])), n.normal(4, 3)))
    cell = n.node("Mul", n.node("Sigmoid", h), np.zeros((1, 3), np.float32))
    module = prepare(load_network(tmp_path, n.model(n.node("Tanh", n.node("Add", cell, h)))).module)
    kinds = [operator_name(v) for v in Graph(module["main"]).definitions.values()]
    assert kinds.count("relax.matmul") == 1 and not {"relax.strided_slice", "relax.add", "relax.multiply"} & set(kinds)
