"""What each pattern takes, and what it leaves: the layers of small canonical modules."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from tvm import relax

from nnc_tvm.errors import Unsupported
from nnc_tvm.relay_passes.lower_composites import lower_composites
from nnc_tvm.relay_passes.program import Program
from nnc_tvm.schedules.operators import Conv2d, Dense, DepthwiseConv2d, FixedSoftmax, LinearCombination, MatMul, Quantize, Rescale, Table, TableSoftmax
from nnc_tvm.schedules.quantization import FixedRequantize, FloatClamp, FloatRequantize, Mode, ScaleToFloat
from tests.relay_passes.ir import Body, Builder, Expr, Inputs, module_of

IMAGE: Inputs = {"x": ((1, 6, 8, 4), "int8")}
op = relax.op


def lowered(inputs: Inputs, body: Body, mode: Mode = "fixed") -> Program:
    return lower_composites(module_of(inputs, body), mode)


def kinds(program: Program) -> list[str]:
    return [type(layer.operator).__name__ for layer in program.layers]


def convolved(b: Builder, x: Expr, groups: int = 1, bias: bool = True) -> Expr:
    """A convolution of x (scale 0.5, zero point 3) by weights of scale 0.25 and zero point 1 that are all 2, with a bias of 8 steps."""
    w = b.dequantize(relax.const(np.full((3, 3, 4 // groups, 4), 2, np.int8)), 0.25, 1)
    y = b(op.nn.conv2d(b.dequantize(x, 0.5, 3), w, groups=groups, data_layout="NHWC", kernel_layout="HWIO"))
    return b(op.add(y, b.dequantize(relax.const(np.full(4, 8, np.int32)), 0.125))) if bias else y


def only(program: Program, kind: type) -> Any:
    assert kinds(program) == [kind.__name__]
    return program.layers[0].operator


def test_convolution_with_bias_activation_and_requantization_is_one_layer() -> None:
    operator = only(lowered(IMAGE, lambda b, x: b.quantize(b(op.nn.relu(convolved(b, x))), 2.0, -10)), Conv2d)
    assert operator.input_zero_point == 3 and np.all(operator.weight == 1) and np.all(operator.bias == 8) and operator.weight.shape == (4, 3, 3, 4)
    e = operator.epilogue
    assert isinstance(e, FixedRequantize) and (e.zero_point, e.low, e.high) == (-10, -10, 127)
    assert float(e.multiplier[0]) * 2.0 ** (int(e.shift[0]) - 31) == 0.125 / 2


def test_requantization_in_float() -> None:
    e = only(lowered(IMAGE, lambda b, x: b.quantize(convolved(b, x), 2.0), "float"), Conv2d).epilogue
    assert isinstance(e, FloatRequantize) and e.scale == np.float32(0.125 / 2)


def test_float_result_of_integers() -> None:
    e = only(lowered(IMAGE, lambda b, x: b(op.nn.relu(convolved(b, x)))), Conv2d).epilogue
    assert isinstance(e, ScaleToFloat) and e.scale == np.float32(0.125) and (e.low, e.high) == (0, math.inf)


def test_float_bias_is_brought_to_the_accumulator() -> None:
    def body(b: Builder, x: Expr) -> Expr:
        return b.quantize(b(op.add(convolved(b, x, bias=False), relax.const(np.array([1, 0.5, -1, 0.06], np.float32)))), 2.0)

    assert only(lowered(IMAGE, body), Conv2d).bias.tolist() == [8, 4, -8, 0]


def test_one_channel_a_group_is_depthwise() -> None:
    assert only(lowered(IMAGE, lambda b, x: b.quantize(convolved(b, x, 4), 2.0)), DepthwiseConv2d).weight.shape == (3, 3, 4)


def test_activation_read_twice_is_not_swallowed() -> None:
    def body(b: Builder, x: Expr) -> list[Expr]:
        y = convolved(b, x)
        return [b.quantize(b(op.nn.relu(y)), 2.0), y]

    program = lowered(IMAGE, body)
    assert kinds(program) == ["Conv2d", "Quantize"] and isinstance(program.layers[0].operator.epilogue, ScaleToFloat)  # type: ignore[attr-defined]
    quantize: Any = program.layers[1].operator
    assert isinstance(quantize, Quantize) and quantize.low == 0


def test_weights_with_scales_along_the_sum_are_float() -> None:
    def body(b: Builder, x: Expr) -> Expr:
        scales = relax.const(np.full(6, 0.25, np.float32)), relax.const(np.zeros(6, np.int32))
        w = b(op.dequantize(relax.const(np.ones((6, 5), np.int8)), *scales, axis=0, out_dtype="float32"))
        return b.quantize(b(op.matmul(b.dequantize(x, 0.5), w)), 2.0)

    program = lowered({"x": ((2, 6), "int8")}, body)
    assert kinds(program) == ["Dequantize", "Dense", "Quantize"] and isinstance(program.layers[1].operator.epilogue, FloatClamp)  # type: ignore[attr-defined]


def test_dense_rounds_once_in_fixed_point() -> None:
    def body(b: Builder, x: Expr) -> Expr:
        return b.quantize(b(op.matmul(b.dequantize(x, 0.5, 3), b.dequantize(relax.const(np.ones((6, 5), np.int8)), 0.25))), 2.0)

    assert only(lowered({"x": ((2, 6), "int8")}, body), Dense).epilogue.single_rounding


def test_product_of_two_activations() -> None:
    inputs: Inputs = {"a": ((2, 3, 4), "int8"), "c": ((2, 4, 5), "int8")}

    def body(b: Builder, a: Expr, c: Expr) -> Expr:
        return b.quantize(b(op.matmul(b.dequantize(a, 0.5, 3), b.dequantize(c, 0.25, -2))), 2.0)

    assert only(lowered(inputs, body), MatMul).zero_points == (3, -2)


def test_sum_and_difference() -> None:
    for function, sign in ((op.add, 1), (op.subtract, -1)):
        operator = only(lowered(IMAGE, lambda b, x, f=function: b.quantize(b(f(b.dequantize(x, 0.5, 3), b.dequantize(x, 0.25, -2))), 2.0)), LinearCombination)
        assert operator.zero_points == (3, -2) and np.sign(operator.factors).tolist() == [1, sign]


def test_constant_operand_off_every_grid_stays_float() -> None:
    values = relax.const(np.resize(np.array([1, 0.333, 0.0417, 0.9], np.float32), (6, 1, 1)))  # one for every row
    program = lowered(IMAGE, lambda b, x: b.quantize(b(op.multiply(b.dequantize(x, 0.5), values)), 2.0))
    assert kinds(program) == ["Dequantize", "Primitive", "Quantize"] and program.layers[1].note == "no integer form: multiply"


def test_unsigned_constant_operand_is_exact() -> None:
    values = np.array([0, 100, 131, 255], np.uint8)
    program = lowered(IMAGE, lambda b, x: b.quantize(b(op.multiply(b.dequantize(x, 0.5), b.dequantize(relax.const(values), 0.3, 131))), 2.0))
    assert [c.tolist() for c in program.constants.values()] == [[-128, -28, 3, 127]] and program.layers[0].operator.zero_points == (0, 3)  # type: ignore[attr-defined]


FUNCTIONS: dict[str, Any] = {
    "hard_swish": lambda b, x: op.multiply(x, b(op.divide(b(op.clip(b(op.add(x, relax.const(np.float32(3)))), 0, 6)), relax.const(np.float32(6))))),
    "leaky_relu": lambda b, x: op.nn.leakyrelu(x, 0.1), "gelu": lambda b, x: op.nn.gelu(x), "sigmoid": lambda b, x: op.sigmoid(x),
    "square": lambda b, x: op.multiply(x, x), "chain": lambda b, x: op.exp(b(op.negative(b(op.abs(x))))),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("mode", ["fixed", "float"])
def test_functions_of_one_tensor_are_a_table(name: str, mode: Mode) -> None:
    program = lowered(IMAGE, lambda b, x: b.quantize(b(FUNCTIONS[name](b, b.dequantize(x, 0.05, 3))), 0.05), mode)
    assert only(program, Table).table.shape == (256,)


def test_a_table_whose_inside_is_read_elsewhere_is_none() -> None:
    def body(b: Builder, x: Expr) -> list[Expr]:
        y = b(op.sigmoid(b.dequantize(x, 0.05)))
        return [b.quantize(b(op.exp(y)), 0.05), y]

    assert "Table" not in kinds(lowered(IMAGE, body))


def test_rescale_with_a_clamp() -> None:
    operator = only(lowered(IMAGE, lambda b, x: b.quantize(b(op.clip(b.dequantize(x, 0.5, 3), -2, 4)), 0.25, 1)), Rescale)
    assert (operator.requantize.low, operator.requantize.high) == (-7, 17)


def test_softmax() -> None:
    def body(b: Builder, x: Expr) -> Expr:
        return b.quantize(b(op.nn.softmax(b.dequantize(x, 0.5), axis=-1)), 1 / 256, -128)

    only(lowered(IMAGE, body, "fixed"), FixedSoftmax)
    only(lowered(IMAGE, body, "float"), TableSoftmax)
    along_channels = lowered(IMAGE, lambda b, x: b.quantize(b(op.nn.softmax(b.dequantize(x, 0.5), axis=1)), 1 / 256, -128))
    assert kinds(along_channels) == ["Dequantize", "Primitive", "Quantize"]


def test_dequantized_constants_are_constants() -> None:
    program = lowered({"x": ((2, 3), "float32")}, lambda b, x: b(op.maximum(x, b.dequantize(relax.const(np.array([0, 4, 8], np.int8)), 0.5, 4))))
    assert kinds(program) == ["Primitive"] and [c.tolist() for c in program.constants.values()] == [[-2, 0, 2]]


def test_what_nothing_reads_is_no_layer() -> None:
    def body(b: Builder, x: Expr) -> Expr:
        b(op.exp(x))
        return b(op.abs(x))

    assert len(lowered({"x": ((2, 3), "float32")}, body).layers) == 1


def test_no_kernel() -> None:
    with pytest.raises(Unsupported, match=r"'running_total': there is no kernel for cumsum of float32\[2, 3\]"):
        lowered({"x": ((2, 3), "float32")}, lambda b, x: b(op.abs(b.bb.emit(op.cumsum(x, 1), "running_total"))))


def test_moved_integers_mean_what_they_meant() -> None:
    """Transposed and cut tensors that nothing dequantizes have the scale of what they were moved from."""
    def body(b: Builder, x: Expr) -> Expr:
        return b(op.strided_slice(b(op.permute_dims(b.quantize(convolved(b, x), 2.0, -10), [0, 3, 1, 2])), [1], [0], [2]))

    program = lowered(IMAGE, body)
    scales = [(program.values[layer.output].scale, program.values[layer.output].zero_point) for layer in program.layers]
    assert scales == [(2.0, -10)] * len(program.layers) and len(program.layers) >= 2
