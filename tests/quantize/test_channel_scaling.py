"""Equalization and smoothing: the same network, with gentler channels."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

from nnc_tvm.quantize import QuantizeOptions, quantize
from nnc_tvm.quantize.channel_scaling import Factors, sites
from nnc_tvm.quantize.equalize import equalize
from nnc_tvm.quantize.plan import Plan
from nnc_tvm.quantize.prepare import prepare
from nnc_tvm.reference import run_program
from nnc_tvm.relay_passes.pipeline import to_program
from tests.quantize.networks import Network, load_network
from tests.quantize.test_post_training import sqnr

SEED = 11


SPREAD = (10.0 ** np.linspace(-2, 2, 8)).astype(np.float32)


def uneven_convolutions(folder: pathlib.Path) -> Any:
    """Channels between the convolutions range from 0.01 to 100."""
    n = Network([1, 4, 6, 6], SEED)
    y = n.node("Conv", "x", n.normal(8, 4, 3, 3) * SPREAD.reshape(-1, 1, 1, 1), n.normal(8) * SPREAD, pads=[1, 1, 1, 1])
    y = n.node("MaxPool", n.node("Relu", y), kernel_shape=[2, 2], strides=[2, 2])
    y = n.node("Relu", n.node("Conv", y, n.normal(8, 1, 3, 3), n.normal(8) * SPREAD, pads=[1, 1, 1, 1], group=8))
    return load_network(folder, n.model(n.node("Conv", y, n.normal(4, 8, 1, 1) / SPREAD.reshape(1, -1, 1, 1))))


def uneven_matrices(folder: pathlib.Path) -> Any:
    """So do those of a layer normalization that two matrix products read."""
    n = Network([1, 5, 8], SEED)
    y = n.node("LayerNormalization", "x", SPREAD, SPREAD, axis=-1)
    a, b = (n.node("MatMul", y, n.normal(8, 6) / SPREAD.reshape(-1, 1)) for _ in range(2))
    return load_network(folder, n.model(n.node("Add", a, b)))


CASES = {"equalize": (uneven_convolutions, QuantizeOptions(equalize=True)), "smooth": (uneven_matrices, QuantizeOptions(smooth=0.5))}


@pytest.mark.parametrize("name", CASES)
def test_moved_factors_change_nothing(name: str, tmp_path: pathlib.Path) -> None:
    source = CASES[name][0](tmp_path)
    module = prepare(source.module)
    plan = Plan(module)
    factors, found = Factors(plan), sites(plan)
    assert len(found) == {"equalize": 2, "smooth": 1}[name]
    rng = np.random.default_rng(SEED)
    for site in found:
        factors.move(site, rng.uniform(0.1, 10, int(site.tensor.ty.shape[site.axis])))
    x = rng.standard_normal(source.inputs[0].shape).astype(np.float32)
    before, after = (to_program(m, "float") for m in (module, factors.apply(module)))
    wanted, got = (run_program(p, {"x": x})[p.outputs[0]] for p in (before, after))
    np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max(), err_msg=f"seed {SEED}")


@pytest.mark.parametrize("name", CASES)
def test_uneven_channels_round_better(name: str, tmp_path: pathlib.Path) -> None:
    make, options = CASES[name]
    source = make(tmp_path)
    rng = np.random.default_rng(SEED)
    shape = source.inputs[0].shape
    samples = [{"x": rng.standard_normal((32, *shape)).astype(np.float32)}]
    x = rng.standard_normal(shape).astype(np.float32)
    float_program = to_program(source.module, "float")
    wanted = run_program(float_program, {"x": x})[float_program.outputs[0]]
    reached = []
    for choice in (QuantizeOptions(), options):
        program = to_program(quantize(source, samples, choice).module, "float")
        reached.append(sqnr(wanted, run_program(program, {"x": x})[program.outputs[0]].reshape(wanted.shape)))
    assert reached[1] > reached[0] + 10, f"seed {SEED}: {reached} dB"


def test_equalized_weights_have_equal_ranges(tmp_path: pathlib.Path) -> None:
    module = equalize(prepare(uneven_convolutions(tmp_path).module))
    plan = Plan(module)
    factors = Factors(plan)
    for site in sites(plan):
        first, second = factors.contraction(site.makers[0]), factors.contraction(site.consumers[0])
        np.testing.assert_allclose(first.output_ranges(first.weight), second.input_ranges(second.weight), rtol=0.05)
