"""Float networks quantized as a whole, against the float networks."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from nnc_tvm.errors import InvalidInput
from nnc_tvm.quantize import QuantizeOptions, quantize
from nnc_tvm.quantize.options import Rounding
from nnc_tvm.reference import run_program
from nnc_tvm.relay_passes.graph import Graph, operator_name
from nnc_tvm.relay_passes.pipeline import to_program
from nnc_tvm.relay_passes.qdq import quantization_of
from nnc_tvm.schedules.operators import Conv2d, Dense, DepthwiseConv2d, MatMul
from nnc_tvm.schedules.operators.primitive import Primitive
from tests.quantize.networks import NETWORKS, Network, load_network

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


def test_weights_of_an_attention_over_many_tokens(tmp_path: pathlib.Path) -> None:
    """None of them comes near 1: their steps are as fine as what was seen allows, where a softmax that is a result keeps those of TFLite."""
    n = Network([1, 64, 8], SEED)
    scores = n.node("MatMul", n.linear("x", 8, 8), n.node("Transpose", n.linear("x", 8, 8), perm=[0, 2, 1]))
    mixed = n.node("MatMul", n.node("Softmax", n.node("Mul", scores, np.float32(0.1)), axis=-1), n.linear("x", 8, 8))
    source = load_network(tmp_path, n.model(mixed, n.node("Softmax", n.linear(mixed, 8, 8), axis=-1)))
    samples = [{"x": x} for x in np.random.default_rng(SEED).standard_normal((20, 1, 64, 8)).astype(np.float32)]
    graph = Graph(quantize(source, samples).module["main"])
    scales = [quantization_of(v).scalar() for v in graph.definitions.values()  # type: ignore[union-attr]
              if operator_name(v) == "relax.quantize" and operator_name(graph.definition(v.args[0])) == "relax.nn.softmax"]
    assert len(scales) == 2 and scales[0][0] < 1 / 1024 and scales[0][1] == -128 and scales[1] == (1 / 256, -128)
