"""Float networks quantized as a whole, against the float networks."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from nnc_tvm.errors import InvalidInput
from nnc_tvm.quantize import QuantizeOptions, quantize
from nnc_tvm.quantize.options import Rounding
from nnc_tvm.reference import run_program
from nnc_tvm.relay_passes.pipeline import to_program
from nnc_tvm.schedules.operators import Conv2d, Dense, DepthwiseConv2d, MatMul
from nnc_tvm.schedules.operators.primitive import Primitive
from tests.quantize.networks import NETWORKS, load_network

SEED = 20261124
# decibels that 8 bits reach on these networks, with a margin; a tensor on a wrong scale costs 10 or more
LEAST = {"residual": 28, "activations": 25, "squeeze_excite": 28, "branches": 28, "batch_norm": 30, "attention": 25, "sequence": 28}


def sqnr(wanted: np.ndarray, got: np.ndarray) -> float:
    return float(10 * np.log10(np.square(wanted).sum() / max(np.square(got - wanted).sum(), 1e-30)))


@pytest.mark.parametrize("name", NETWORKS)
def test_close_to_float(name: str, tmp_path: pathlib.Path) -> None:
    source = load_network(tmp_path, NETWORKS[name](SEED))
    rng = np.random.default_rng(SEED)
    shape = source.inputs[0].shape
    rounded = quantize(source, [{"x": rng.standard_normal((32, *shape)).astype(np.float32)}])
    x = rng.standard_normal(shape).astype(np.float32)
    before, after = (to_program(s.module, "float") for s in (source, rounded))
    wanted, got = (run_program(p, {"x": x}) for p in (before, after))
    for a, b in zip(before.outputs, after.outputs, strict=True):
        assert sqnr(wanted[a], got[b].reshape(wanted[a].shape)) >= LEAST[name], f"seed {SEED}"
    contractions = [layer.operator for layer in after.layers if isinstance(layer.operator, Conv2d | DepthwiseConv2d | Dense | MatMul)]
    assert contractions and all(t.dtype == "int8" for operator in contractions for t in operator.inputs)
    allowed = {"mean", "subtract", "power", "add", "sqrt", "divide", "multiply"} if name == "attention" else set()
    assert {layer.operator.name for layer in after.layers if isinstance(layer.operator, Primitive)} <= allowed


def test_a_quantized_model_is_refused(tmp_path: pathlib.Path) -> None:
    source = load_network(tmp_path, NETWORKS["batch_norm"](SEED))
    samples = [{"x": np.random.default_rng(SEED).standard_normal((8, 1, 4, 8, 8)).astype(np.float32)}]
    rounded = quantize(source, samples)
    with pytest.raises(InvalidInput, match="quantized already"):
        quantize(rounded, samples)


def test_poor_samples_are_named(tmp_path: pathlib.Path) -> None:
    source = load_network(tmp_path, NETWORKS["batch_norm"](SEED))
    x = np.random.default_rng(SEED).standard_normal((16, *source.inputs[0].shape)).astype(np.float32)
    said: list[str] = []
    quantize(source, [{"x": np.zeros_like(x)}], warn=said.append)
    assert any("'x' is 0 on all samples" in line for line in said)
    said.clear()
    x[3, 0, 0, 0, 0] = 1e3
    quantize(source, [{"x": x}], warn=said.append)
    assert any("outliers stretch the range of 'x'" in line for line in said), said
    with pytest.raises(InvalidInput, match="becomes NaN or infinite"):
        quantize(source, [{"x": np.full_like(x, 3e38)}])


def test_a_clamp_behind_a_reshape_joins_its_convolution(tmp_path: pathlib.Path) -> None:
    source = load_network(tmp_path, NETWORKS["sequence"](SEED))
    x = np.random.default_rng(SEED).standard_normal((16, *source.inputs[0].shape)).astype(np.float32)
    kinds = [layer.operator.kind for layer in to_program(quantize(source, [{"x": x}]).module, "float").layers]
    assert kinds.count("conv2d") == 2 and "rescale" not in kinds


@pytest.mark.parametrize("rounding", ["auto", "nearest"])
def test_int4_weights(rounding: Rounding, tmp_path: pathlib.Path) -> None:
    """All weights fit 4 bits, activations stay int8; rounding for the output loses less than rounding to nearest."""
    source = load_network(tmp_path, NETWORKS["residual"](SEED))
    rng = np.random.default_rng(SEED)
    shape = source.inputs[0].shape
    rounded = quantize(source, [{"x": rng.standard_normal((32, *shape)).astype(np.float32)}], QuantizeOptions(weights="int4", rounding=rounding))
    x = rng.standard_normal(shape).astype(np.float32)
    before, after = (to_program(s.module, "float") for s in (source, rounded))
    wanted, got = (run_program(p, {"x": x}) for p in (before, after))
    for a, b in zip(before.outputs, after.outputs, strict=True):
        assert sqnr(wanted[a], got[b].reshape(wanted[a].shape)) >= {"auto": 14, "nearest": 12}[rounding], f"seed {SEED}"
    contractions = [layer.operator for layer in after.layers if isinstance(layer.operator, Conv2d | DepthwiseConv2d | Dense)]
    assert contractions and all(np.abs(operator.weight).max() <= 7 and operator.inputs[0].dtype == "int8" for operator in contractions)
