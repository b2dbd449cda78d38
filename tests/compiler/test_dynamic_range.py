"""TFLite's dynamic-range models, int8 weights under float activations, against LiteRT's reference kernels and as packages."""

from __future__ import annotations

import importlib.util
import pathlib
from typing import Any

import numpy as np
import pytest

from nnc_tvm.compiler import compile_model
from nnc_tvm.frontend import load
from nnc_tvm.reference import run_program
from nnc_tvm.relay_passes.pipeline import to_program
from nnc_tvm.run import run_package
from nnc_tvm.targets.registry import get_target
from tests.frontend.test_tflite_import import conv, depthwise
from tests.tflite_builder import RELU, RELU6, Node, Tensor, build_model, constant
from tests.tflite_builder import run_reference as run_tflite

SEED = 20261125

# operator, shapes of x, weights and y, options
HYBRIDS: dict[str, tuple[str, tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[str, dict[str, Any]]]] = {
    "dense": ("FULLY_CONNECTED", (3, 32), (6, 32), (3, 6), ("FullyConnectedOptions", {"fusedActivationFunction": RELU})),
    "dense, asymmetric": ("FULLY_CONNECTED", (3, 2, 32), (6, 32), (6, 6), ("FullyConnectedOptions", {"asymmetricQuantizeInputs": True})),
    "conv": ("CONV_2D", (2, 9, 7, 4), (6, 3, 3, 4), (2, 9, 7, 6), conv()),
    "conv, pointwise": ("CONV_2D", (2, 4, 5, 19), (6, 1, 1, 19), (2, 4, 5, 6), conv(fusedActivationFunction=RELU6)),
    "depthwise": ("DEPTHWISE_CONV_2D", (2, 9, 7, 4), (1, 3, 3, 4), (2, 9, 7, 4), depthwise(1)),
    "depthwise of two": ("DEPTHWISE_CONV_2D", (1, 9, 7, 3), (1, 3, 3, 6), (1, 9, 7, 6), depthwise(2)),
    "depthwise of one channel": ("DEPTHWISE_CONV_2D", (1, 9, 7, 1), (1, 3, 3, 6), (1, 9, 7, 6), depthwise(6)),
}


def hybrid(name: str, rng: np.random.Generator, per_channel: bool) -> tuple[bytes, np.ndarray]:
    """(a TFLite model of one operator with int8 weights under float activations, its input)."""
    code, x_shape, w_shape, y_shape, options = HYBRIDS[name]
    channels, axis = y_shape[-1], 3 if code == "DEPTHWISE_CONV_2D" else 0
    weight = constant("w", rng.integers(-127, 128, w_shape).astype(np.int8), rng.uniform(0.01, 0.03, channels) if per_channel else 0.02, 0, axis)
    bias = constant("b", rng.standard_normal(channels).astype(np.float32))
    data = build_model([Tensor("x", x_shape, "float32"), weight, bias, Tensor("y", y_shape, "float32")],
                       [Node(code, ("x", "w", "b"), ("y",), options)], ["x"], ["y"])
    x = rng.standard_normal(x_shape) * 2 + 1
    x[0] *= 3  # every row has a scale of its own
    return data, x.astype(np.float32)


@pytest.mark.skipif(importlib.util.find_spec("ai_edge_litert") is None, reason="LiteRT is not installed")
@pytest.mark.parametrize(("name", "per_channel"), [(name, c) for name in HYBRIDS for c in (True, False) if c or "depthwise" not in name])
def test_against_litert(name: str, per_channel: bool, tmp_path: pathlib.Path) -> None:
    """int8 weights under float activations: LiteRT's integers, so its reals but for the order of two float products."""
    data, x = hybrid(name, np.random.default_rng(SEED), per_channel)
    (tmp_path / "model.tflite").write_bytes(data)
    program = to_program(load(tmp_path / "model.tflite").module, "fixed")
    wanted = run_tflite(data, {"x": x})["y"]
    assert np.abs(run_program(program, {"x": x})[program.outputs[0]] - wanted).max() <= 1e-6 * np.abs(wanted).max(), f"seed {SEED}"


@pytest.mark.parametrize("name", ["dense", "conv", "depthwise"])
def test_package(name: str, tmp_path: pathlib.Path) -> None:
    """Weights are stored as bytes, and kernels compute what the oracle does."""
    data, x = hybrid(name, np.random.default_rng(SEED), per_channel=True)
    (tmp_path / "model.tflite").write_bytes(data)
    compile_model(tmp_path / "model.tflite", get_target("x86_cpu"), tmp_path / "package")
    program = to_program(load(tmp_path / "model.tflite").module, "fixed")
    wanted = run_program(program, {"x": x})[program.outputs[0]]
    np.testing.assert_allclose(run_package(tmp_path / "package", {"x": x})["y"].reshape(wanted.shape), wanted, rtol=1e-6, atol=1e-5)
    assert all(layer.operator.inputs[0].dtype == "int8" for layer in program.layers if layer.operator.macs)
