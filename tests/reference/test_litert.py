"""Exact against LiteRT's reference kernels (BUILTIN_REF), one operator at a time on random shapes, scales and values."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nnc_tvm.reference import evaluate
from nnc_tvm.schedules.operators import (
    AveragePool2d,
    Concat,
    Conv2d,
    Dense,
    DepthwiseConv2d,
    Dequantize,
    FixedSoftmax,
    LinearCombination,
    MatMul,
    MaxPool2d,
    Mean,
    Multiply,
    Operator,
    Pad,
    Quantize,
    Rescale,
    ResizeBilinear,
    ResizeNearest,
    StridedSlice,
    Table,
    TensorType,
)
from nnc_tvm.schedules.operators.resize import Coordinates
from nnc_tvm.schedules.operators.unary import fixed_table
from nnc_tvm.schedules.quantization import FixedRequantize, QuantParams, convolution_scale, make_requantize, product_scale, quantized_bounds
from tests.tflite_builder import NONE, RELU, RELU6, RELU_N1_TO_1, SAME, VALID, Node, Tensor, build_model, constant, run_reference

pytest.importorskip("ai_edge_litert")

BOUNDS = {NONE: (-math.inf, math.inf), RELU: (0.0, math.inf), RELU_N1_TO_1: (-1.0, 1.0), RELU6: (0.0, 6.0)}
Options = tuple[str, dict[str, Any]] | None
Scaled = tuple[float, int]


@pytest.fixture(params=range(4))
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    print(f"seed {request.param}")
    return np.random.default_rng(request.param)


def scaled(rng: np.random.Generator, low: float = 0.002, high: float = 0.2) -> Scaled:
    """A random (scale, zero point), float32."""
    return float(np.float32(np.exp(rng.uniform(np.log(low), np.log(high))))), int(rng.integers(-128, 128))


def integers(rng: np.random.Generator, shape: tuple[int, ...], dtype: type = np.int8) -> np.ndarray:
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max + 1, shape).astype(dtype)


def check(operator: Operator, code: str, options: Options, arrays: list[np.ndarray], quantization: list[Scaled | None], constants: tuple[Tensor, ...] = (),
          version: int = 1, resolver: str = "BUILTIN_REF") -> None:
    """`operator` on `arrays` equals the node `code` in LiteRT; quantization: of each array, then of the output."""
    names = [f"x{i}" for i in range(len(arrays))]
    shapes = [(tuple(a.shape), str(a.dtype)) for a in arrays] + [(operator.output.shape, operator.output.dtype)]
    tensors = [Tensor(name, shape, dtype, *(q if q is not None else ())) for name, (shape, dtype), q in zip([*names, "y"], shapes, quantization, strict=True)]
    node = Node(code, (*names, *(c.name for c in constants)), ("y",), options, version)
    expected = run_reference(build_model([*tensors, *constants], [node], names, ["y"]), dict(zip(names, arrays, strict=True)), resolver)["y"]
    # the operators of one image or one matrix take what LiteRT sees as more or fewer axes
    actual = evaluate(operator, *(a.reshape(kind.shape) for a, kind in zip(arrays, operator.inputs, strict=True)))
    np.testing.assert_array_equal(actual, expected.reshape(actual.shape))


def window(rng: np.random.Generator, extent: tuple[int, int], kernel: tuple[int, int], strides: tuple[int, int], dilation: tuple[int, int],
           padding: int) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """(output extent, (top, left, bottom, right)) of TFLite's SAME or VALID."""
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    if padding == VALID:
        return ((extent[0] - reach[0]) // strides[0] + 1, (extent[1] - reach[1]) // strides[1] + 1), (0, 0, 0, 0)
    out = [-(-e // s) for e, s in zip(extent, strides, strict=True)]
    total = [max(0, (o - 1) * s + r - e) for o, s, r, e in zip(out, strides, reach, extent, strict=True)]
    return (out[0], out[1]), (total[0] // 2, total[1] // 2, total[0] - total[0] // 2, total[1] - total[1] // 2)


@pytest.mark.parametrize("activation", [NONE, RELU, RELU6])
@pytest.mark.parametrize("padding", [SAME, VALID])
@pytest.mark.parametrize("depthwise", [False, True])
def test_convolution(rng: np.random.Generator, depthwise: bool, padding: int, activation: int) -> None:
    kernel, strides = tuple(rng.integers(1, 4, 2).tolist()), tuple(rng.integers(1, 3, 2).tolist())
    dilation = tuple(rng.integers(1, 3, 2).tolist()) if strides == (1, 1) else (1, 1)
    channels, m = int(rng.integers(1, 6)), int(rng.integers(1, 3))
    outputs = channels * m if depthwise else int(rng.integers(1, 7))
    x = integers(rng, (int(rng.integers(1, 3)), *rng.integers(7, 11, 2).tolist(), channels))
    extent, pad = window(rng, x.shape[1:3], kernel, strides, dilation, padding)
    (si, zi), (so, zo) = scaled(rng), scaled(rng, 0.02, 0.2)
    weight = integers(rng, (outputs, *kernel, channels)) if not depthwise else integers(rng, (1, *kernel, outputs))
    weight_scale = np.exp(rng.uniform(-6, -3, outputs)).astype(np.float32)
    bias = rng.integers(-3000, 3000, outputs).astype(np.int32)
    requantize = make_requantize("fixed", convolution_scale(si, weight_scale, so), zo, *quantized_bounds(*BOUNDS[activation], so, zo))
    types = (TensorType(x.shape, "int8"),), TensorType((x.shape[0], *extent, outputs), "int8")
    arguments = {"bias": bias, "epilogue": requantize, "input_zero_point": zi, "strides": strides, "padding": pad, "dilation": dilation}
    operator: Operator = (DepthwiseConv2d(*types, weight=weight[0].astype(np.int16), **arguments) if depthwise
                          else Conv2d(*types, weight=weight.astype(np.int16), **arguments))
    fields = {"strideH": strides[0], "strideW": strides[1], "padding": padding, "dilationHFactor": dilation[0], "dilationWFactor": dilation[1],
              "fusedActivationFunction": activation}
    constants = (constant("w", weight, weight_scale, 0, 3 if depthwise else 0), constant("b", bias, weight_scale * np.float32(si)))
    if depthwise:
        check(operator, "DEPTHWISE_CONV_2D", ("DepthwiseConv2DOptions", {**fields, "depthMultiplier": m}), [x], [(si, zi), (so, zo)], constants, 3)
    else:
        check(operator, "CONV_2D", ("Conv2DOptions", fields), [x], [(si, zi), (so, zo)], constants, 3)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("activation", [NONE, RELU])
def test_dense(rng: np.random.Generator, activation: int, per_channel: bool) -> None:
    x, outputs = integers(rng, (8, 40)), 16
    weight, bias = integers(rng, (outputs, 40)), rng.integers(-3000, 3000, outputs).astype(np.int32)
    (si, zi), (so, zo) = scaled(rng), scaled(rng, 0.02, 0.2)
    weight_scale = np.exp(rng.uniform(-6, -3, outputs if per_channel else 1)).astype(np.float32)
    real = convolution_scale(si, weight_scale, so) if per_channel else product_scale(si, float(weight_scale[0]), so)
    requantize = make_requantize("fixed", real, zo, *quantized_bounds(*BOUNDS[activation], so, zo))
    assert isinstance(requantize, FixedRequantize)
    operator = Dense((TensorType(x.shape, "int8"),), TensorType((8, outputs), "int8"), weight.astype(np.int16), bias,
                     replace(requantize, single_rounding=True), zi)
    constants = (constant("w", weight, weight_scale), constant("b", bias, weight_scale * np.float32(si)))
    check(operator, "FULLY_CONNECTED", ("FullyConnectedOptions", {"fusedActivationFunction": activation}), [x], [(si, zi), (so, zo)], constants, 4)


@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL"])
@pytest.mark.parametrize("exact_halves", [False, True])
def test_rounding(rng: np.random.Generator, kind: str, exact_halves: bool) -> None:
    """Small accumulators with scales near 1, where one rounding differs from two in a tenth of the elements, and exact halves."""
    x, outputs = np.arange(-128, 128, dtype=np.int8), 16
    weight = rng.integers(-4, 5, outputs).astype(np.int8)
    bias = rng.integers(-50, 50, outputs).astype(np.int32)
    weight_scale = np.full(outputs, 0.25, np.float32) if exact_halves else rng.uniform(0.1, 0.9, outputs).astype(np.float32)
    requantize = make_requantize("fixed", convolution_scale(1, weight_scale, 1), 3)
    assert isinstance(requantize, FixedRequantize)
    image, result = TensorType((1, 16, 16, 1), "int8"), TensorType((1, 16, 16, outputs), "int8")
    operators: dict[str, tuple[Operator, np.ndarray, int, Options]] = {
        "CONV_2D": (Conv2d((image,), result, weight.reshape(-1, 1, 1, 1).astype(np.int16), bias, requantize, 5), weight.reshape(-1, 1, 1, 1), 0,
                    ("Conv2DOptions", {"strideH": 1, "strideW": 1, "padding": VALID, "dilationHFactor": 1, "dilationWFactor": 1})),
        "DEPTHWISE_CONV_2D": (DepthwiseConv2d((image,), result, weight.reshape(1, 1, -1).astype(np.int16), bias, requantize, 5), weight.reshape(1, 1, 1, -1), 3,
                              ("DepthwiseConv2DOptions", {"strideH": 1, "strideW": 1, "padding": VALID, "dilationHFactor": 1, "dilationWFactor": 1,
                                                          "depthMultiplier": outputs})),
        "FULLY_CONNECTED": (Dense((TensorType((256, 1), "int8"),), TensorType((256, outputs), "int8"), weight.reshape(-1, 1).astype(np.int16), bias,
                                  replace(requantize, single_rounding=True), 5), weight.reshape(-1, 1), 0, ("FullyConnectedOptions", {})),
    }
    if kind == "BATCH_MATMUL":
        quantization = ((1.0, 5), (float(weight_scale[0]), 0), (1.0, 3))
        types = (TensorType((1, 256, 1), "int8"), TensorType((1, 1, outputs), "int8")), TensorType((1, 256, outputs), "int8")
        matmul = MatMul(*types, make_requantize("fixed", product_scale(1.0, float(weight_scale[0]), 1.0), 3), (5, 0))
        check(matmul, kind, ("BatchMatMulOptions", {}), [x.reshape(1, 256, 1), weight.reshape(1, 1, -1)], list(quantization), version=2)
        return
    operator, weights, axis, options = operators[kind]
    constants = (constant("w", weights, weight_scale, 0, axis), constant("b", bias, weight_scale))
    check(operator, kind, options, [x.reshape(operator.inputs[0].shape)], [(1.0, 5), (1.0, 3)], constants, 4 if kind == "FULLY_CONNECTED" else 3)


def test_matmul(rng: np.random.Generator) -> None:
    a, c = integers(rng, (2, 7, 20)), integers(rng, (2, 20, 9))
    quantization = (sa, za), (sc, zc), (so, zo) = (scaled(rng), scaled(rng), scaled(rng, 0.02, 0.2))
    types = (TensorType(a.shape, "int8"), TensorType(c.shape, "int8")), TensorType((2, 7, 9), "int8")
    operator = MatMul(*types, make_requantize("fixed", product_scale(sa, sc, so), zo), (za, zc))
    check(operator, "BATCH_MATMUL", ("BatchMatMulOptions", {}), [a, c], list(quantization), version=2)


SHAPES = [((3, 5, 6, 7), (3, 5, 6, 7)), ((3, 5, 6, 7), (1, 1, 1, 7)), ((1, 5, 1, 7), (3, 1, 6, 7)), ((4, 9), (1, 1))]


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("activation", [NONE, RELU])
@pytest.mark.parametrize("code", ["ADD", "SUB", "MUL"])
def test_elementwise(rng: np.random.Generator, code: str, activation: int, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    a, b = integers(rng, shapes[0]), integers(rng, shapes[1])
    quantization = (scaled(rng), scaled(rng), scaled(rng))
    bounds = quantized_bounds(*BOUNDS[activation], *quantization[2])
    types = (TensorType(a.shape, "int8"), TensorType(b.shape, "int8")), TensorType(np.broadcast_shapes(*shapes), "int8")
    operator: Operator = (Multiply.build("fixed", *types, quantization, *bounds) if code == "MUL"
                          else LinearCombination.build("fixed", *types, quantization, -1 if code == "SUB" else 1, *bounds))
    check(operator, code, (f"{code.title()}Options", {"fusedActivationFunction": activation}), [a, b], list(quantization), version=2)


@pytest.mark.parametrize("padding", [SAME, VALID])
@pytest.mark.parametrize("code", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
def test_pool(rng: np.random.Generator, code: str, padding: int) -> None:
    kernel, strides = tuple(rng.integers(1, 5, 2).tolist()), tuple(rng.integers(1, 4, 2).tolist())
    x = integers(rng, (2, 9, 8, 5))
    extent, pad = window(rng, x.shape[1:3], kernel, strides, (1, 1), padding)
    q = scaled(rng)
    low, high = quantized_bounds(*BOUNDS[RELU], *q)
    source, output = TensorType(x.shape, "int8"), TensorType((2, *extent, 5), "int8")
    operator: Operator = (AveragePool2d.build("fixed", source, output, kernel, strides, pad, False, (q, q), low, high) if code.startswith("A")
                          else MaxPool2d((source,), output, kernel, strides, pad, low=low, high=high))
    fields = {"strideH": strides[0], "strideW": strides[1], "filterHeight": kernel[0], "filterWidth": kernel[1], "padding": padding,
              "fusedActivationFunction": RELU}
    check(operator, code, ("Pool2DOptions", fields), [x], [q, q], version=2)


def test_uint8_average_pool(rng: np.random.Generator) -> None:
    """A uint8 model shifted to int8 rounds its uint8 values: around -128."""
    x, q = integers(rng, (2, 9, 8, 5), np.uint8), (0.1, 100)
    types, kernel = (TensorType(x.shape, "int8"),), (3, 2)
    operator = AveragePool2d(types, TensorType((2, 7, 7, 5), "int8"), kernel, (1, 1), (0, 0, 0, 0), False, -128, None)
    fields = {"strideH": 1, "strideW": 1, "filterHeight": 3, "filterWidth": 2, "padding": VALID}
    model = build_model([Tensor("x", x.shape, "uint8", *q), Tensor("y", operator.output.shape, "uint8", *q)],
                        [Node("AVERAGE_POOL_2D", ("x",), ("y",), ("Pool2DOptions", fields))], ["x"], ["y"])
    shifted = (x.astype(int) - 128).astype(np.int8)
    np.testing.assert_array_equal(evaluate(operator, shifted), run_reference(model, {"x": x})["y"].astype(int) - 128)


@pytest.mark.parametrize("axes", [(1, 2), (3,), (0, 1), (2,)])
def test_mean(rng: np.random.Generator, axes: tuple[int, ...]) -> None:
    x = integers(rng, (3, *rng.integers(1, 9, 2).tolist(), 6))
    q = (scaled(rng), scaled(rng))
    shape = tuple(e for axis, e in enumerate(x.shape) if axis not in axes)
    operator = Mean.build("fixed", TensorType(x.shape, "int8"), TensorType(shape, "int8"), axes, q)
    check(operator, "MEAN", ("ReducerOptions", {"keepDims": False}), [x], list(q), (constant("axes", np.array(axes, np.int32)),), 2)


@pytest.mark.parametrize("beta", [1.0, 0.3])
@pytest.mark.parametrize("width", [2, 10, 1001])
def test_softmax(rng: np.random.Generator, width: int, beta: float) -> None:
    # LiteRT aborts where a row's exponentials sum to 512 or more
    x, (si, zi) = integers(rng, (16, width)), scaled(rng, 0.001 if width < 512 else 0.05, 1)
    operator = FixedSoftmax.build(TensorType(x.shape, "int8"), TensorType(x.shape, "int8"), si, beta)
    check(operator, "SOFTMAX", ("SoftmaxOptions", {"beta": beta}), [x], [(si, zi), (1 / 256, -128)], version=2)


@pytest.mark.parametrize("coordinates", ["asymmetric", "half_pixel", "align_corners"])
@pytest.mark.parametrize("code", ["RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"])
def test_resize(rng: np.random.Generator, code: str, coordinates: Coordinates) -> None:
    x, extent, q = integers(rng, (2, *rng.integers(1, 9, 2).tolist(), 3)), tuple(rng.integers(1, 20, 2).tolist()), scaled(rng)
    source, output = TensorType(x.shape, "int8"), TensorType((2, *extent, 3), "int8")
    options = {"halfPixelCenters": coordinates == "half_pixel", "alignCorners": coordinates == "align_corners"}
    bilinear = code == "RESIZE_BILINEAR"
    operator: Operator = ResizeBilinear.build("fixed", source, output, coordinates, (q, q)) if bilinear else ResizeNearest.build(source, output, coordinates)
    name = "ResizeBilinearOptions" if bilinear else "ResizeNearestNeighborOptions"
    check(operator, code, (name, options), [x], [q, q], (constant("size", np.array(extent, np.int32)),), 3)


def test_rescale(rng: np.random.Generator) -> None:
    x, q = np.arange(-128, 128, dtype=np.int8), (scaled(rng), scaled(rng))
    operator = Rescale.build("fixed", TensorType(x.shape, "int8"), TensorType(x.shape, "int8"), q)
    check(operator, "QUANTIZE", ("QuantizeOptions", {}), [x], list(q))


def test_quantize_and_dequantize(rng: np.random.Generator) -> None:
    (scale, zero_point), count = scaled(rng), 2000
    x = rng.uniform(-200 * scale, 200 * scale, count).astype(np.float32)
    x[:400] = np.arange(400, dtype=np.float32) * np.float32(scale / 2) - np.float32(100 * scale)  # halves
    types = (TensorType(x.shape, "float32"),), TensorType(x.shape, "int8")
    check(Quantize(*types, scale, zero_point, half_away=True), "QUANTIZE", ("QuantizeOptions", {}), [x], [None, (scale, zero_point)])
    values = np.arange(-128, 128, dtype=np.int8)
    dequantize = Dequantize((TensorType(values.shape, "int8"),), TensorType(values.shape, "float32"), scale, zero_point)
    check(dequantize, "DEQUANTIZE", ("DequantizeOptions", {}), [values], [(scale, zero_point), None], version=2)


UNARY: dict[str, tuple[str, Callable[[dict[str, float]], Options]]] = {
    "sigmoid": ("LOGISTIC", lambda a: None), "tanh": ("TANH", lambda a: None), "relu": ("RELU", lambda a: None), "relu6": ("RELU6", lambda a: None),
    "relu_n1_to_1": ("RELU_N1_TO_1", lambda a: None), "elu": ("ELU", lambda a: None), "hard_swish": ("HARD_SWISH", lambda a: ("HardSwishOptions", {})),
    "leaky_relu": ("LEAKY_RELU", lambda a: ("LeakyReluOptions", {"alpha": a["alpha"]})), "exp": ("EXP", lambda a: ("ExpOptions", {})),
    "gelu": ("GELU", lambda a: ("GeluOptions", {"approximate": bool(a["approximate"])})),
}
FIXED_OUTPUTS = {"sigmoid": (1 / 256, -128), "tanh": (1 / 128, 0)}  # LiteRT accepts no other


@pytest.mark.parametrize("approximate", [0, 1])
@pytest.mark.parametrize("name", UNARY)
def test_table(rng: np.random.Generator, name: str, approximate: int) -> None:
    x, q = np.arange(-128, 128, dtype=np.int8), (scaled(rng, 0.002, 0.2), FIXED_OUTPUTS.get(name, scaled(rng, 0.002, 0.2)))
    code, options = UNARY[name]
    attributes = {"alpha": float(np.float32(rng.uniform(0, 0.5))), "approximate": approximate}
    params = [QuantParams(np.float32(s).reshape(()), np.array(z, np.int32), "int8") for s, z in q]
    operator = Table((TensorType(x.shape, "int8"),), TensorType(x.shape, "int8"), fixed_table(name, attributes, *params))
    # the reference resolver has no ELU: LiteRT computes it by a table everywhere
    resolver = "BUILTIN_WITHOUT_DEFAULT_DELEGATES" if name == "elu" else "BUILTIN_REF"
    check(operator, code, options(attributes), [x], list(q), version=1 if name in ("elu", "hard_swish", "relu_n1_to_1") else 2, resolver=resolver)


def test_movement(rng: np.random.Generator) -> None:
    x, y, q = integers(rng, (2, 5, 6, 3)), integers(rng, (2, 5, 6, 4)), scaled(rng)
    source = TensorType(x.shape, "int8")
    concat = Concat((source, TensorType(y.shape, "int8")), TensorType((2, 5, 6, 7), "int8"), 3)
    check(concat, "CONCATENATION", ("ConcatenationOptions", {"axis": 3}), [x, y], [q, q, q], version=2)
    padding = np.array([[0, 0], [1, 2], [3, 0], [0, 1]], np.int32)
    pad = Pad((source,), TensorType((2, 8, 9, 4), "int8"), tuple(padding[:, 0].tolist()), tuple(padding[:, 1].tolist()), q[1])
    check(pad, "PAD", ("PadOptions", {}), [x], [q, q], (constant("p", padding),), 2)
    slices = [np.array(v, np.int32) for v in ((1, 4, 0, 0), (2, -6, 6, 3), (1, -2, 3, 1))]
    strided = StridedSlice((source,), TensorType((1, 3, 2, 3), "int8"), (1, 4, 0, 0), (1, -2, 3, 1))
    check(strided, "STRIDED_SLICE", ("StridedSliceOptions", {}), [x], [q, q], tuple(constant(n, v) for n, v in zip("bes", slices, strict=True)), 2)
