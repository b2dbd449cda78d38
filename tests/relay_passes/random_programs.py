"""Random small programs with pruned filters: residual sums, concatenation, depthwise, gates, pooling, dense heads."""

from __future__ import annotations

import numpy as np

from nnc_tvm.relay_passes.program import Layer, Program, Value
from nnc_tvm.schedules.operators import (
    AveragePool2d,
    Concat,
    Conv2d,
    Dense,
    DepthwiseConv2d,
    LinearCombination,
    MaxPool2d,
    Mean,
    Multiply,
    Operator,
    Pad,
    Reshape,
    ResizeNearest,
    StridedSlice,
    Table,
    TensorType,
    Transpose,
)
from nnc_tvm.schedules.quantization import Mode, make_requantize


def int8(*shape: int) -> TensorType:
    return TensorType(shape, "int8")


class Network:
    """Builds a Program layer by layer; zero points, scales, weights and pruned filters are random.

    prune: the share of filters that are zero. bias: whether pruned filters keep theirs.
    """

    def __init__(self, seed: int, mode: Mode, prune: float = 0.5, bias: bool = True) -> None:
        self.rng, self.mode, self.prune, self.bias = np.random.default_rng(seed), mode, prune, bias
        self.values: dict[str, Value] = {}
        self.layers: list[Layer] = []
        self.constants: dict[str, np.ndarray] = {}
        self.zero_points: dict[str, int] = {}
        self.inputs: list[str] = []

    def input(self, *shape: int) -> str:
        self.inputs.append(self.define(int8(*shape), self.zero_point(), f"x{len(self.inputs)}"))
        return self.inputs[-1]

    def define(self, type_: TensorType, zero_point: int, name: str) -> str:
        self.values[name], self.zero_points[name] = Value(name, type_), zero_point
        return name

    def zero_point(self) -> int:
        return int(self.rng.choice([-128, 0, int(self.rng.integers(-128, 128))]))

    def shape(self, x: str) -> tuple[int, ...]:
        return self.values[x].type.shape

    def emit(self, operator: Operator, *inputs: str, zero_point: int | None = None) -> str:
        name = f"v{len(self.layers)}"
        self.layers.append(Layer(name, operator, inputs, name))
        return self.define(operator.output, self.zero_points[inputs[0]] if zero_point is None else zero_point, name)

    def program(self, *outputs: str) -> Program:
        return Program(self.values, tuple(self.inputs), outputs, tuple(self.layers), self.mode, self.constants)

    def weighted(self, shape: tuple[int, ...], axis: int, depth: int) -> dict[str, object]:
        """weight, bias, epilogue with random whole filters of zeros."""
        rng, count = self.rng, shape[axis]
        weight = rng.integers(-127, 128, shape).astype(np.int16)
        pruned = rng.random(count) < self.prune
        np.moveaxis(weight, axis, 0)[pruned] = 0
        bias = rng.integers(-3000, 3000, count).astype(np.int32)
        bias[pruned & (rng.random(count) < 0.5 if self.bias else True)] = 0
        zero, relu = self.zero_point(), bool(rng.integers(2))
        scale = rng.uniform(0.5, 1.5, count) / (40 * depth**0.5) / 10
        self.next_zero = zero
        return {"weight": weight, "bias": bias, "epilogue": make_requantize(self.mode, scale, zero, zero if relu else -128)}

    def window(self, x: str, kernel: int, stride: int, pad: int) -> tuple[int, int]:
        _, h, w, _ = self.shape(x)
        return (h + 2 * pad - kernel) // stride + 1, (w + 2 * pad - kernel) // stride + 1

    def conv(self, x: str, channels: int, kernel: int = 3, stride: int = 1, pad: int = 1) -> str:
        n, _, _, c = self.shape(x)
        more = self.weighted((channels, kernel, kernel, c), 0, kernel * kernel * c)
        output = int8(n, *self.window(x, kernel, stride, pad), channels)
        return self.emit(Conv2d((self.values[x].type,), output, **more, input_zero_point=self.zero_points[x], strides=(stride, stride), padding=(pad,) * 4), x,
                         zero_point=self.next_zero)

    def depthwise(self, x: str, multiplier: int = 1, stride: int = 1, pad: int = 1) -> str:
        n, _, _, c = self.shape(x)
        more = self.weighted((3, 3, c * multiplier), 2, 9)
        output = int8(n, *self.window(x, 3, stride, pad), c * multiplier)
        return self.emit(DepthwiseConv2d((self.values[x].type,), output, **more, input_zero_point=self.zero_points[x], strides=(stride, stride),
                                         padding=(pad,) * 4), x, zero_point=self.next_zero)

    def dense(self, x: str, channels: int) -> str:
        rows, depth = self.shape(x)
        more = self.weighted((channels, depth), 0, depth)
        return self.emit(Dense((self.values[x].type,), int8(rows, channels), **more, input_zero_point=self.zero_points[x]), x, zero_point=self.next_zero)

    def add(self, a: str, b: str) -> str:
        zero = self.zero_point()
        types = self.values[a].type, self.values[b].type
        quantization = ((0.1, self.zero_points[a]), (0.07, self.zero_points[b]), (0.13, zero))
        return self.emit(LinearCombination.build(self.mode, types, types[0], quantization, low=zero), a, b, zero_point=zero)

    def multiply(self, a: str, b: str) -> str:
        zero = self.zero_point()
        types = self.values[a].type, self.values[b].type
        quantization = ((0.1, self.zero_points[a]), (0.1, self.zero_points[b]), (0.5, zero))
        return self.emit(Multiply.build(self.mode, types, types[0], quantization), a, b, zero_point=zero)

    def table(self, x: str) -> str:
        table = np.sort(self.rng.integers(-128, 128, 256)).astype(np.int8)
        return self.emit(Table((self.values[x].type,), self.values[x].type, table), x, zero_point=self.zero_point())

    def concat(self, *parts: str, axis: int = 3) -> str:
        shape = list(self.shape(parts[0]))
        shape[axis] = sum(self.shape(p)[axis] for p in parts)
        return self.emit(Concat(tuple(self.values[p].type for p in parts), int8(*shape), axis), *parts)

    def slice(self, x: str, begin: int, count: int) -> str:
        return self.emit(StridedSlice((self.values[x].type,), int8(*self.shape(x)[:3], count), (0, 0, 0, begin), (1, 1, 1, 1)), x)

    def pad(self, x: str, value: int) -> str:
        n, h, w, c = self.shape(x)
        return self.emit(Pad((self.values[x].type,), int8(n, h + 1, w + 2, c), (0, 1, 0, 0), (0, 0, 2, 0), value), x)

    def max_pool(self, x: str) -> str:
        n, _, _, c = self.shape(x)
        return self.emit(MaxPool2d((self.values[x].type,), int8(n, *self.window(x, 2, 1, 1), c), (2, 2), (1, 1), (1, 1, 1, 1)), x)

    def average_pool(self, x: str, include_pad: bool) -> str:
        n, _, _, c = self.shape(x)
        zero = self.zero_point()
        quantization = ((0.1, self.zero_points[x]), (0.09, zero))
        return self.emit(AveragePool2d.build(self.mode, self.values[x].type, int8(n, *self.window(x, 3, 2, 1), c), (3, 3), (2, 2), (1,) * 4, include_pad,
                                             quantization), x, zero_point=zero)

    def mean(self, x: str, keep: bool = False) -> str:
        n, _, _, c = self.shape(x)
        zero = self.zero_point()
        output = int8(n, 1, 1, c) if keep else int8(n, c)
        return self.emit(Mean.build(self.mode, self.values[x].type, output, (1, 2), ((0.1, self.zero_points[x]), (0.06, zero))), x, zero_point=zero)

    def flatten(self, x: str, channels_first: bool = False) -> str:
        n, h, w, c = self.shape(x)
        if channels_first:
            x = self.emit(Transpose((self.values[x].type,), int8(n, c, h, w), (0, 3, 1, 2)), x)
        return self.emit(Reshape((self.values[x].type,), int8(n, h * w * c)), x)

    def upsample(self, x: str) -> str:
        n, h, w, c = self.shape(x)
        return self.emit(ResizeNearest((self.values[x].type,), int8(n, 2 * h, 2 * w, c), np.arange(2 * h) // 2, np.arange(2 * w) // 2), x)

    def gate(self, x: str) -> str:
        """Squeeze and excitation."""
        c = self.shape(x)[3]
        squeezed = self.emit(Reshape((int8(1, 1, 1, c),), int8(1, c)), self.mean(x, keep=True))
        weights = self.table(self.dense(self.dense(squeezed, 3), c))
        return self.multiply(x, self.emit(Reshape((int8(1, c),), int8(1, 1, 1, c)), weights))

    def residual(self, x: str) -> str:
        c = self.shape(x)[3]
        return self.add(self.conv(self.conv(x, int(self.rng.integers(1, 9))), c), x)

    def branches(self, x: str) -> str:
        return self.concat(self.conv(x, 3, 1, 1, 0), x, self.max_pool(self.conv(x, 5, 2, 1, 0)) if min(self.shape(x)[1:3]) > 1 else x)

    def body(self, steps: int) -> Program:
        """Some blocks one after the other and a head."""
        rng = self.rng
        x = self.conv(self.input(1, int(rng.integers(4, 9)), int(rng.integers(4, 9)), 3), int(rng.integers(2, 9)))
        blocks = [lambda x: self.conv(x, int(rng.integers(1, 9)), int(rng.integers(1, 4)), 1, int(rng.integers(0, 2))), self.residual, self.branches,
                  lambda x: self.depthwise(x, int(rng.integers(1, 3)), int(rng.integers(1, 3))), self.table, self.max_pool, self.gate, self.upsample,
                  lambda x: self.average_pool(x, bool(rng.integers(2))), lambda x: self.pad(x, self.zero_point()),
                  lambda x: self.slice(x, self.shape(x)[3] // 3, self.shape(x)[3] - self.shape(x)[3] // 3)]
        for _ in range(steps):
            block = blocks[int(rng.integers(len(blocks)))]
            if min(self.shape(x)[1:3]) >= 3:
                x = block(x)
        heads = [self.mean, self.flatten, lambda x: self.flatten(x, channels_first=True)]
        return self.program(self.dense(heads[int(rng.integers(3))](x), 4))
