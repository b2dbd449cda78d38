"""Reads an int8 .tflite model straight into a Program, by the operators' own constructors: no TVM, no passes."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tflite

from nnc_tvm.relay_passes.program import Layer, Program, Value
from nnc_tvm.schedules.operators import (
    AveragePool2d,
    Conv2d,
    Dense,
    DepthwiseConv2d,
    FixedSoftmax,
    LinearCombination,
    Mean,
    Operator,
    Reshape,
    TensorType,
)
from nnc_tvm.schedules.quantization import FixedRequantize, convolution_scale, make_requantize, product_scale, quantized_bounds

DTYPES = {tflite.TensorType.INT8: "int8", tflite.TensorType.INT32: "int32"}
BOUNDS = {0: (-math.inf, math.inf), 1: (0.0, math.inf), 3: (0.0, 6.0)}


@dataclass(frozen=True, eq=False)
class Tensor:
    name: str
    type: TensorType
    scale: np.ndarray
    zero_point: int
    data: np.ndarray | None

    @property
    def scaled(self) -> tuple[float, int]:
        return float(self.scale[0]), self.zero_point


def _tensor(model: Any, graph: Any, index: int) -> Tensor:
    raw = graph.Tensors(index)
    quantization, buffer = raw.Quantization(), model.Buffers(raw.Buffer())
    kind = TensorType(tuple(raw.ShapeAsNumpy().tolist()), DTYPES[raw.Type()])
    has_scale = quantization is not None and quantization.ScaleLength() > 0
    scale = quantization.ScaleAsNumpy().astype(np.float32) if has_scale else np.ones(1, np.float32)
    data = np.frombuffer(buffer.DataAsNumpy().tobytes(), kind.dtype).reshape(kind.shape) if buffer.DataLength() else None
    return Tensor(raw.Name().decode(), kind, scale, int(quantization.ZeroPoint(0)) if has_scale else 0, data)


def _options(node: Any, kind: type) -> Any:
    options = kind()
    options.Init(node.BuiltinOptions().Bytes, node.BuiltinOptions().Pos)
    return options


def _bounds(options: Any, output: Tensor) -> tuple[int, int]:
    return quantized_bounds(*BOUNDS[options.FusedActivationFunction()], *output.scaled)


def _padding(options: Any, source: Tensor, output: Tensor, kernel: tuple[int, ...]) -> tuple[int, int, int, int]:
    if options.Padding() == tflite.Padding.VALID:
        return (0, 0, 0, 0)
    strides = (options.StrideH(), options.StrideW())
    total = [max(0, (o - 1) * s + k - e) for o, s, k, e in zip(output.type.shape[1:3], strides, kernel, source.type.shape[1:3], strict=True)]
    return (total[0] // 2, total[1] // 2, total[0] - total[0] // 2, total[1] - total[1] // 2)


def _convolution(node: Any, tensors: list[Tensor], y: Tensor, depthwise: bool) -> Operator:
    x, w, b = tensors
    options = _options(node, tflite.DepthwiseConv2DOptions if depthwise else tflite.Conv2DOptions)
    assert w.data is not None and b.data is not None
    requantize = make_requantize("fixed", convolution_scale(x.scaled[0], w.scale, y.scaled[0]), y.zero_point, *_bounds(options, y))
    arguments: dict[str, Any] = {"bias": b.data, "epilogue": requantize, "input_zero_point": x.zero_point, "strides": (options.StrideH(), options.StrideW()),
                                 "padding": _padding(options, x, y, w.type.shape[1:3])}
    if depthwise:
        return DepthwiseConv2d((x.type,), y.type, weight=w.data[0].astype(np.int16), **arguments)
    return Conv2d((x.type,), y.type, weight=w.data.astype(np.int16), **arguments)


def _dense(node: Any, tensors: list[Tensor], y: Tensor) -> Operator:
    x, w, b = tensors
    assert w.data is not None and b.data is not None
    real = product_scale(x.scaled[0], w.scaled[0], y.scaled[0]) if w.scale.size == 1 else convolution_scale(x.scaled[0], w.scale, y.scaled[0])
    requantize = make_requantize("fixed", real, y.zero_point, *_bounds(_options(node, tflite.FullyConnectedOptions), y))
    assert isinstance(requantize, FixedRequantize)
    return Dense((x.type,), y.type, w.data.astype(np.int16), b.data, replace(requantize, single_rounding=True), x.zero_point)


def _add(node: Any, tensors: list[Tensor], y: Tensor) -> Operator:
    a, b = tensors
    return LinearCombination.build("fixed", (a.type, b.type), y.type, (a.scaled, b.scaled, y.scaled), 1, *_bounds(_options(node, tflite.AddOptions), y))


def _average_pool(node: Any, tensors: list[Tensor], y: Tensor) -> Operator:
    x, options = tensors[0], _options(node, tflite.Pool2DOptions)
    kernel, strides = (options.FilterHeight(), options.FilterWidth()), (options.StrideH(), options.StrideW())
    return AveragePool2d.build("fixed", x.type, y.type, kernel, strides, _padding(options, x, y, kernel), False, (x.scaled, y.scaled), *_bounds(options, y))


def _mean(node: Any, tensors: list[Tensor], y: Tensor) -> Operator:
    x, axes = tensors
    assert axes.data is not None
    return Mean.build("fixed", x.type, y.type, tuple(axes.data.reshape(-1).tolist()), (x.scaled, y.scaled))


READERS: dict[str, Callable[[Any, list[Tensor], Tensor], Operator]] = {
    "CONV_2D": lambda node, xs, y: _convolution(node, xs, y, False), "DEPTHWISE_CONV_2D": lambda node, xs, y: _convolution(node, xs, y, True),
    "FULLY_CONNECTED": _dense, "ADD": _add, "AVERAGE_POOL_2D": _average_pool, "MEAN": _mean,
    "RESHAPE": lambda node, xs, y: Reshape((xs[0].type,), y.type),
    "SOFTMAX": lambda node, xs, y: FixedSoftmax.build(xs[0].type, y.type, xs[0].scaled[0], _options(node, tflite.SoftmaxOptions).Beta()),
}


def read_program(path: pathlib.Path) -> Program:
    """The program of a model made of READERS' operators. Raises KeyError naming any other operator."""
    model = tflite.Model.GetRootAsModel(path.read_bytes(), 0)
    graph = model.Subgraphs(0)
    names = {number: name for name, number in vars(tflite.BuiltinOperator).items() if isinstance(number, int)}
    tensors = [_tensor(model, graph, i) for i in range(graph.TensorsLength())]
    layers = []
    for i in range(graph.OperatorsLength()):
        node = graph.Operators(i)
        code = model.OperatorCodes(node.OpcodeIndex())
        inputs = [tensors[node.Inputs(k)] for k in range(node.InputsLength())]
        output = tensors[node.Outputs(0)]
        operator = READERS[names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]](node, inputs, output)
        layers.append(Layer(output.name, operator, tuple(t.name for t in inputs[:len(operator.inputs)]), output.name))
    values = {t.name: Value(t.name, t.type, *t.scaled) for t in tensors if t.data is None}
    return Program(values, tuple(tensors[graph.Inputs(k)].name for k in range(graph.InputsLength())),
                   tuple(tensors[graph.Outputs(k)].name for k in range(graph.OutputsLength())), tuple(layers), "fixed")
