"""What expand_dynamic makes layers of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tvm import relax

from nnc_tvm.reference import run_program
from nnc_tvm.relay_passes.dynamic_calls import dequantized, quantized, scale_and_zero
from nnc_tvm.relay_passes.pipeline import to_program
from nnc_tvm.schedules.operators import Conv2d, DynamicParameters, DynamicQuantize, Operator
from tests.relay_passes.ir import Builder, Expr, module_of

op = relax.op


def at_run_time(b: Builder, x: Expr, rows: int = 1, symmetric: bool = False) -> Expr:
    scale, zero = scale_and_zero(b, x, rows, symmetric)
    return dequantized(b, quantized(b, x, scale, zero), scale, zero)


def weights(b: Builder, values: np.ndarray, scale: np.ndarray, axis: int) -> Expr:
    return b(op.dequantize(relax.const(values), relax.const(scale), relax.const(np.int32(0)), axis=axis, out_dtype="float32"))


def image(symmetric: bool, shared: bool = False) -> list[Operator]:
    def body(b: Builder, x: Expr) -> Expr:
        w = weights(b, np.ones((3, 3, 4, 2), np.int8), np.array([0.5, 0.25], np.float32), 3)
        y = b(op.nn.conv2d(at_run_time(b, x, 1, symmetric), w, padding=1, data_layout="NHWC", kernel_layout="HWIO"))
        y = b(op.nn.relu(b(op.add(y, relax.const(np.ones(2, np.float32))))))
        return [y, b(op.nn.conv2d(at_run_time(b, x, 1, symmetric), w, data_layout="NHWC", kernel_layout="HWIO"))] if shared else y

    return [layer.operator for layer in to_program(module_of({"x": ((1, 5, 5, 4), "float32")}, body), "float").layers]


def test_convolution() -> None:
    """A border of zero points is made with the integers, or of those that others read; one of zeros is part of the convolution. Bias and clamp belong to
    the last layer."""
    for symmetric, border, inside in ((False, (1, 1, 1, 1), (0, 0, 0, 0)), (True, (0, 0, 0, 0), (1, 1, 1, 1))):
        operators = image(symmetric)
        assert [o.kind for o in operators] == ["dynamic_parameters", "dynamic_quantize", "conv2d", "dynamic_rescale"]
        assert isinstance(operators[1], DynamicQuantize) and isinstance(operators[2], Conv2d)
        assert (operators[1].padding, operators[2].padding) == (border, inside)
    assert [o.kind for o in image(symmetric=False, shared=True)][:3] == ["dynamic_parameters", "dynamic_quantize", "dynamic_pad"]


@pytest.mark.parametrize(("before", "known"), [(lambda x: op.nn.relu(x), True), (lambda x: op.clip(x, 0, 6), True), (lambda x: op.clip(x, -1, 6), False),
                                               (lambda x: op.reshape(op.sigmoid(x), (6, 8)), True), (lambda x: op.tanh(x), False)])
def test_signs(before: Callable[[Expr], Expr], known: bool) -> None:
    """Whose least element needs no search."""
    def body(b: Builder, x: Expr) -> Expr:
        return b(op.matmul(at_run_time(b, b(before(x))), weights(b, np.ones((8, 5), np.int8), np.full(5, 0.5, np.float32), 1)))

    layers = to_program(module_of({"x": ((6, 8), "float32")}, body), "float").layers
    assert [layer.operator.nonnegative for layer in layers if isinstance(layer.operator, DynamicParameters)] == [known]


@pytest.mark.parametrize("rows", [1, 6])
def test_readers_share_the_quantization(rows: int) -> None:
    """Three products of one tensor, each quantized in the model, as one that several read."""
    rng = np.random.default_rng(0)
    matrices = [rng.integers(-127, 128, (8, 5)).astype(np.int8) for _ in range(3)]

    def body(b: Builder, x: Expr) -> list[Expr]:
        return [b(op.matmul(at_run_time(b, x, rows), weights(b, m, np.full(5, 0.02, np.float32), 1))) for m in matrices]

    program = to_program(module_of({"x": ((6, 8), "float32")}, body), "float")
    assert [layer.operator.kind for layer in program.layers] == ["dynamic_parameters", "dynamic_quantize", *["dense", "dynamic_rescale"] * 3]
    x = rng.standard_normal((6, 8)).astype(np.float32)
    values = run_program(program, {"x": x})
    for name, matrix in zip(program.outputs, matrices, strict=True):
        wanted = x @ (matrix * np.float32(0.02))
        assert np.abs(values[name] - wanted).max() < 0.03 * np.abs(wanted).max()


def test_scales_along_the_depth_stay_float() -> None:
    """Such sums have no unit."""
    def body(b: Builder, x: Expr) -> Expr:
        return b(op.matmul(at_run_time(b, x), weights(b, np.ones((8, 5), np.int8), np.linspace(0.1, 1, 8).astype(np.float32), 0)))

    program = to_program(module_of({"x": ((6, 8), "float32")}, body), "float")
    products = [layer.operator for layer in program.layers if layer.operator.macs]
    assert [p.inputs[0].dtype for p in products] == ["float32"]
    x = np.random.default_rng(1).standard_normal((6, 8)).astype(np.float32)
    wanted = x @ np.outer(np.linspace(0.1, 1, 8), np.ones(5))
    assert np.abs(run_program(program, {"x": x})[program.outputs[0]] - wanted).max() < 0.05 * np.abs(wanted).max()
