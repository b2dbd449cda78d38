"""A small network of hand-made kernels, for the tests of everything after scheduling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tvm import te

from nnc_tvm.relay_passes.program import Layer, Program, ScheduledLayer, ScheduledProgram, Value
from nnc_tvm.schedules.operators import Dense, Reshape, Table, TensorType
from nnc_tvm.schedules.quantization import FloatRequantize
from nnc_tvm.schedules.rule import Stage


@dataclass(frozen=True)
class FakeTensor:
    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None


@dataclass(frozen=True)
class FakeSource:
    name: str
    inputs: tuple[FakeTensor, ...]
    outputs: tuple[FakeTensor, ...]
    sha256: str = "ab" * 32
    file_bytes: int = 1234
    format: str = "tflite"


def table_stage(shape: tuple[int, ...], table: np.ndarray) -> Stage:
    """y = table[x + 128], in place where the input dies."""
    x, t = te.placeholder(shape, "int8", name="x"), te.placeholder((256,), "int8", name="t")
    y = te.compute(shape, lambda *i: t[x(*i).astype("int32") + 128], name="y")
    return Stage(te.create_prim_func([x, t, y]), (0,), (table,), TensorType(shape, "int8"), "table", may_overwrite=(0,))


def widen_stage(shape: tuple[int, ...]) -> Stage:
    """An int16 copy: scratch of the dense layer."""
    x = te.placeholder(shape, "int8", name="x")
    y = te.compute(shape, lambda *i: x(*i).astype("int16"), name="y")
    return Stage(te.create_prim_func([x, y]), (0,), (), TensorType(shape, "int16"), "widen")


def dense_stage(rows: int, weight: np.ndarray) -> Stage:
    """y = int8(clamp(sum x * w >> 6)) of the first stage's output."""
    o, k = weight.shape
    x, w = te.placeholder((rows, k), "int16", name="x"), te.placeholder((o, k), "int8", name="w")
    r = te.reduce_axis((0, k), name="r")
    acc = te.compute((rows, o), lambda m, n: te.sum(x[m, r].astype("int32") * w[n, r].astype("int32"), axis=r), name="acc")
    y = te.compute((rows, o), lambda m, n: te.max(te.min(acc[m, n] >> 6, 127), -128).astype("int8"), name="y")
    return Stage(te.create_prim_func([x, w, y]), (-1,), (weight,), TensorType((rows, o), "int8"), "plain dense")


def network(seed: int = 0) -> tuple[ScheduledProgram, FakeSource]:
    """table -> table -> dense -> dense -> outputs: the result, the result once more as another shape, and the input itself."""
    rng = np.random.default_rng(seed)
    table = rng.integers(-128, 128, 256).astype(np.int8)
    other = rng.integers(-128, 128, 256).astype(np.int8)
    weight = rng.integers(-128, 128, (12, 12)).astype(np.int8)
    image, flat = TensorType((1, 3, 4), "int8"), TensorType((1, 12), "int8")
    types = {"x/y:0": image, "a": image, "b": image, "c": flat, "d": flat, "e": flat, "f": image}
    requantize = FloatRequantize(np.float32([1 / 64]), 0)
    bias = np.zeros(12, np.int32)

    def dense(name: str, source: str, result: str, note: str = "") -> ScheduledLayer:
        operator = Dense((flat,), flat, weight.astype(np.int16), bias, requantize)
        return ScheduledLayer(Layer(name, operator, (source,), result, note), (widen_stage((1, 12)), dense_stage(1, weight)))

    layers = (
        ScheduledLayer(Layer("first */ table", Table((image,), image, table), ("x/y:0",), "a"), (table_stage((1, 3, 4), table),)),
        ScheduledLayer(Layer("second", Table((image,), image, other), ("a",), "b"), (table_stage((1, 3, 4), other),)),
        ScheduledLayer(Layer("flatten", Reshape((image,), flat), ("b",), "c"), ()),
        dense("fc1", "c", "d", "why not"),
        dense("fc2", "d", "e"),
        ScheduledLayer(Layer("unflatten", Reshape((flat,), image), ("e",), "f"), ()),
    )
    values = {name: Value(name, kind, 0.5, 3) for name, kind in types.items()}
    program = Program(values, ("x/y:0",), ("e", "f", "x/y:0"), tuple(layer.layer for layer in layers), "fixed")
    inputs = (FakeTensor("x/y:0", (1, 3, 4), "int8", 0.5, 3),)
    outputs = (FakeTensor("probabilities", (1, 12), "int8", 0.25, -128), FakeTensor("again", (1, 3, 4), "int8"), FakeTensor("x/y:0", (1, 3, 4), "int8", 0.5, 3))
    return ScheduledProgram(program, layers), FakeSource("folder/net.tflite", inputs, outputs)


def expected(scheduled: ScheduledProgram, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What `network` computes from int8 (1, 3, 4)."""
    first, second, _, dense, *_ = scheduled.layers
    y = x
    for layer in (first, second):
        assert isinstance(layer.layer.operator, Table)
        y = layer.layer.operator.table[y.astype(np.int32) + 128]
    assert isinstance(dense.layer.operator, Dense)
    weight = dense.layer.operator.weight.astype(np.int32)
    y = y.reshape(1, 12)
    for _ in range(2):
        y = np.clip((y.astype(np.int32) @ weight.T) >> 6, -128, 127).astype(np.int8)
    return y, y.reshape(1, 3, 4), x
