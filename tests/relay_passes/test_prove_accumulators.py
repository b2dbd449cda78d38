"""The proof that no accumulator overflows: bounds from the actual weights; what could overflow is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from nnc_tvm.errors import Unsupported
from nnc_tvm.reference import evaluate
from nnc_tvm.relay_passes.program import Layer, Program, Value
from nnc_tvm.relay_passes.prove_accumulators import accumulator_bound, prove_accumulators
from nnc_tvm.schedules.operators import Conv2d, Dense, DepthwiseConv2d, MatMul, Operator, TensorType
from nnc_tvm.schedules.quantization import make_requantize

REQUANTIZE = make_requantize("float", 1e-6, 0)


def dense(depth: int, weight: int, bias: int = 0, zero_point: int = 0) -> Dense:
    return Dense((TensorType((1, depth), "int8"),), TensorType((1, 2), "int8"), np.stack([np.full(depth, weight), np.zeros(depth)]).astype(np.int16),
                 np.array([bias, 0], np.int32), REQUANTIZE, zero_point)


def program(operator: Operator) -> Program:
    values = {"x": Value("x", operator.inputs[0]), "y": Value("y", operator.output)}
    return Program(values, ("x",), ("y",), (Layer("the_layer", operator, ("x",), "y"),), "float")


def test_the_largest_that_fits() -> None:
    depth = (2**31 - 1) // (128 * 127)
    prove_accumulators(program(dense(depth, 127)))
    with pytest.raises(Unsupported, match="'the_layer'.* could reach 21474"):
        prove_accumulators(program(dense(depth + 1, 127)))


def test_bias_counts() -> None:
    prove_accumulators(program(dense(1, 1, 2**31 - 1 - 128)))
    with pytest.raises(Unsupported, match="'the_layer'"):
        prove_accumulators(program(dense(1, 1, 2**31 - 128)))


@pytest.mark.parametrize("zero_point", [-128, -5, 0, 127])
def test_bound_holds_for_the_worst_input(zero_point: int) -> None:
    """Against the oracle, which raises where a sum leaves int32: what is proved never does."""
    rng = np.random.default_rng(zero_point + 200)
    print("seed", zero_point + 200)
    weight = rng.integers(-255, 256, (3, 40)).astype(np.int16)
    bias = rng.integers(-2**30, 2**30, 3).astype(np.int32)
    operator = Dense((TensorType((1, 40), "int8"),), TensorType((1, 3), "int8"), weight, bias, REQUANTIZE, zero_point)
    for row in range(3):
        for sign in (1, -1):
            x = np.where(sign * weight[row] > 0, 127, -128).astype(np.int64)
            assert abs(int((x - zero_point) @ weight[row].astype(np.int64)) + int(bias[row])) <= accumulator_bound(operator)
            evaluate(operator, x.astype(np.int8)[None])


def test_every_contraction_has_a_bound() -> None:
    image = TensorType((1, 1, 1, 2), "int8")
    w = np.array([[3, -4], [1, 1]], np.int16)
    conv = Conv2d((image,), image, w.reshape(2, 1, 1, 2), np.zeros(2, np.int32), REQUANTIZE)
    depthwise = DepthwiseConv2d((image,), image, np.array([[[3, -4]]], np.int16), np.zeros(2, np.int32), REQUANTIZE)
    matmul = MatMul((TensorType((1, 2, 3), "int8"), TensorType((1, 3, 2), "int8")), TensorType((1, 2, 2), "int8"), REQUANTIZE)
    assert [accumulator_bound(o) for o in (conv, depthwise, matmul)] == [7 * 128, 4 * 128, 3 * 255 * 255]


def test_float_layers_have_none() -> None:
    operator = Dense((TensorType((1, 2), "float32"),), TensorType((1, 1), "float32"), np.full((1, 2), 1e30, np.float32), np.zeros(1, np.float32), REQUANTIZE)
    assert accumulator_bound(operator) == 0
