"""TFLite operators through the passes: the integer graph, run by the oracle, equals LiteRT's reference kernels integer for integer."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from nnc_tvm.frontend import load
from nnc_tvm.reference import run_program
from nnc_tvm.relay_passes.pipeline import to_program
from nnc_tvm.schedules.operators import Primitive
from tests.compiler.tflite_cases import INTERPOLATED, OPERATORS
from tests.frontend.test_tflite_import import SEED, Case, build, conv, pool
from tests.tflite_builder import VALID, Node, Tensor, build_model, constant, run_reference

pytest.importorskip("ai_edge_litert", reason="LiteRT is the reference")
# operators that are computed in float between dequantize and quantize, or that TVM's loops move
FLOAT = ("MAXIMUM", "MINIMUM", "REDUCE_MAX", "PRELU", "MIRROR_PAD", "TILE", "REVERSE_V2", "NEG")


def exact(folder: pathlib.Path, data: bytes, inputs: dict[str, np.ndarray], steps: int = 0, resolver: str = "BUILTIN_REF", in_float: bool = False) -> None:
    """Every output of the model equals LiteRT's, to `steps`; nothing falls back to TVM's loops unless `in_float`."""
    (folder / "model.tflite").write_bytes(data)
    source = load(folder / "model.tflite")
    program = to_program(source.module, "fixed")
    expected = run_reference(data, inputs, resolver)
    values = run_program(program, inputs)
    for name, tensor in zip(program.outputs, source.outputs, strict=True):
        found, wanted = values[name], expected[tensor.name]
        assert found.dtype == wanted.dtype and found.shape == wanted.shape
        off = np.abs(found.astype(np.float64) - wanted.astype(np.float64))
        assert off.max() <= steps, f"{(off > steps).sum()} of {off.size} elements of '{tensor.name}' off by up to {off.max()}"
    assert in_float or not any(isinstance(layer.operator, Primitive) for layer in program.layers)


@pytest.mark.parametrize(("case", "dtype"), [pytest.param(c, d, id=f"{c.name}, {d}") for c, d in OPERATORS])
def test_operator(case: Case, dtype: str, tmp_path: pathlib.Path) -> None:
    print("seed", SEED)
    data, inputs = build(case, dtype)
    # uint8 RESIZE_BILINEAR interpolates in float32: equal where the weights are sums of powers of two, else to one step
    interpolated = dtype == "uint8" and case.name.startswith(INTERPOLATED) and "powers" not in case.name
    resolver = "BUILTIN_REF" if case.function is None else "BUILTIN_WITHOUT_DEFAULT_DELEGATES"  # the reference interpreter has no ELU
    # the maximum of uint8 values that nothing else gives a meaning is TVM's own loops
    exact(tmp_path, data, inputs, int(interpolated), resolver, case.code in FLOAT or case.name == "max pool")


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_quantize_and_dequantize(dtype: str, tmp_path: pathlib.Path) -> None:
    """From float and back, halves and saturated values among them."""
    shape, q = (1, 400), (0.05, 3 if dtype == "int8" else 131)
    tensors = [Tensor("x", shape, "float32"), Tensor("q", shape, dtype, *q), Tensor("y", shape, "float32")]
    nodes = [Node("QUANTIZE", ("x",), ("q",), ("QuantizeOptions", {})), Node("DEQUANTIZE", ("q",), ("y",), ("DequantizeOptions", {}), 2)]
    data = build_model(tensors, nodes, ["x"], ["q", "y"])
    x = ((np.arange(400, dtype=np.float32) - 200) * np.float32(0.025)).reshape(shape)
    exact(tmp_path, data, {"x": x})


@pytest.mark.parametrize("output", [(0.05, 5), (0.1, -9), (3.7, 40), (0.007, 0)])
@pytest.mark.parametrize("axes", [(3,), (1, 2), (0,)])
def test_sum_of_int8(axes: tuple[int, ...], output: tuple[float, int], tmp_path: pathlib.Path) -> None:
    """As the uint8 kernel sums the same reals: LiteRT's int8 reference kernel clamps to uint8's range."""
    rng = np.random.default_rng(SEED)
    print("seed", SEED)
    x = rng.integers(-128, 128, (2, 9, 7, 4)).astype(np.int8)
    shape = tuple(1 if a in axes else e for a, e in enumerate(x.shape))

    def model(dtype: str, shift: int) -> bytes:
        y = Tensor("y", shape, dtype, output[0], output[1] + shift)
        tensors = [Tensor("x", x.shape, dtype, 0.05, 5 + shift), constant("a", np.array(axes, np.int32)), y]
        return build_model(tensors, [Node("SUM", ("x", "a"), ("y",), ("ReducerOptions", {"keepDims": True}))], ["x"], ["y"])

    (tmp_path / "model.tflite").write_bytes(model("int8", 0))
    program = to_program(load(tmp_path / "model.tflite").module, "fixed")
    assert [layer.operator.kind for layer in program.layers] == ["sum"]
    found = run_program(program, {"x": x})[program.outputs[0]]
    wanted = run_reference(model("uint8", 128), {"x": (x.astype(np.int16) + 128).astype(np.uint8)})["y"]
    np.testing.assert_array_equal(found.astype(int), wanted.astype(int) - 128)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_prelu_of_all_values(dtype: str, tmp_path: pathlib.Path) -> None:
    """Every value under every slope, the slopes constant; halves are rounded as LiteRT rounds them on either side of zero."""
    low, shape = np.iinfo(dtype).min, (1, 256, 1, 256)
    every = np.arange(low, low + 256).astype(dtype)
    slopes = constant("a", every.reshape(1, 1, 256), 0.0123, low + 100)
    for output in ((0.04, low + 90), (0.0625, low + 128)):
        tensors = [Tensor("x", shape, dtype, 0.031, low + 117), slopes, Tensor("y", shape, dtype, *output)]
        x = np.repeat(every.reshape(1, 256, 1, 1), 256, axis=3)
        exact(tmp_path, build_model(tensors, [Node("PRELU", ("x", "a"), ("y",))], ["x"], ["y"]), {"x": x}, in_float=True)


def every_pair(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """(256, 256) each: every value of the dtype with every other."""
    values = np.arange(256).astype(np.uint8) if dtype == "uint8" else np.arange(-128, 128).astype(np.int8)
    return (np.ascontiguousarray(np.broadcast_to(values[:, None], (256, 256))), np.ascontiguousarray(np.broadcast_to(values, (256, 256))))


SCALES = ((0.25, 0.05, 1 / 255), (0.03, 0.03, 0.05), (0.25, 0.125, 1 / 127), (0.0042, 0.1074, 0.0364), (0.5, 0.25, 0.125), (0.0673, 0.00887, 0.0025))


@pytest.mark.parametrize("scales", SCALES)
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_quotients_of_all_values(dtype: str, scales: tuple[float, float, float], tmp_path: pathlib.Path) -> None:
    """Halves among them. Where LiteRT shifts by more than 31 bits, which C does not define, the quotient is far below half a step: 0."""
    a, b = every_pair(dtype)
    zeros = [z + 128 * (dtype == "uint8") for z in (-9, 21, 7)]
    b = np.where(b == zeros[1], b[:, :1], b)  # LiteRT refuses to divide by 0
    tensors = [Tensor(n, (256, 256), dtype, s, z) for n, s, z in zip("aby", scales, zeros, strict=True)]
    data = build_model(tensors, [Node("DIV", ("a", "b"), ("y",), ("DivOptions", {}))], ["a", "b"], ["y"])
    (tmp_path / "model.tflite").write_bytes(data)
    program = to_program(load(tmp_path / "model.tflite").module, "fixed")
    assert "divide" in [layer.operator.kind for layer in program.layers]
    found, wanted = run_program(program, {"a": a, "b": b})[program.outputs[0]].astype(int), run_reference(data, {"a": a, "b": b})["y"].astype(int)
    real = (a.astype(float) - zeros[0]) * scales[0] / ((b.astype(float) - zeros[1]) * scales[1]) / scales[2]
    defined = np.abs(real) > 0.5
    np.testing.assert_array_equal(found[defined], wanted[defined])
    assert (found[np.abs(real) < 0.499] == zeros[2]).all()


@pytest.mark.parametrize("constant_first", [False, True])
def test_quotients_with_one_constant(constant_first: bool, tmp_path: pathlib.Path) -> None:
    """A table."""
    x, c = np.arange(-128, 128, dtype=np.int8).reshape(1, 256), constant("c", np.array([[37]], np.int8), 0.02, -3)
    tensors = [Tensor("x", x.shape, "int8", 0.05, -128), c, Tensor("y", x.shape, "int8", 0.0625, 5)]
    data = build_model(tensors, [Node("DIV", ("c", "x") if constant_first else ("x", "c"), ("y",), ("DivOptions", {}))], ["x"], ["y"])
    exact(tmp_path, data, {"x": np.maximum(x, -127)})


@pytest.mark.parametrize("scales", SCALES)
def test_squared_differences_of_all_values(scales: tuple[float, float, float], tmp_path: pathlib.Path) -> None:
    tensors = [Tensor(n, (256, 256), "int8", s, z) for n, s, z in zip("aby", scales, (-9, 21, -100), strict=True)]
    data = build_model(tensors, [Node("SQUARED_DIFFERENCE", ("a", "b"), ("y",))], ["a", "b"], ["y"])
    exact(tmp_path, data, dict(zip("ab", every_pair("int8"), strict=True)))


def test_square_root(tmp_path: pathlib.Path) -> None:
    """LiteRT's cuts off what is not a whole step, and takes no negative input."""
    x = np.arange(-128, 128, dtype=np.int8).reshape(1, 256)
    tensors = [Tensor("x", x.shape, "int8", 0.3, -128), Tensor("y", x.shape, "int8", 0.05, -120)]
    data = build_model(tensors, [Node("SQRT", ("x",), ("y",), None, 2)], ["x"], ["y"])
    exact(tmp_path, data, {"x": x})


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_shared_tensors(dtype: str, tmp_path: pathlib.Path) -> None:
    """A tensor read twice, an input that is also an output's operand twice over, an intermediate tensor that is an output too, several outputs."""
    rng = np.random.default_rng(SEED)
    print("seed", SEED)
    shape, z = (1, 6, 5, 4), 0 if dtype == "int8" else 128
    scales = {"x": 0.05, "a": 0.09, "b": 0.1, "c": 0.04, "d": 1 / 256}
    zeros = {"x": z + 5, "a": z - 7, "b": z + 1, "c": z - 20, "d": z - 128}
    tensors = [Tensor(n, shape, dtype, s, zeros[n]) for n, s in scales.items()]
    nodes = [Node("ADD", ("x", "x"), ("a",), ("AddOptions", {})), Node("MUL", ("x", "x"), ("b",), ("MulOptions", {})),
             Node("SUB", ("a", "b"), ("c",), ("SubOptions", {})), Node("LOGISTIC", ("a",), ("d",))]
    data = build_model(tensors, nodes, ["x"], ["a", "c", "d"])
    low = -128 if dtype == "int8" else 0
    exact(tmp_path, data, {"x": rng.integers(low, low + 256, shape).astype(dtype)})


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_moved_before_computed(dtype: str, tmp_path: pathlib.Path) -> None:
    """Pooling, concatenation and padding of the raw input, then a convolution; the pooled input is an output."""
    rng = np.random.default_rng(SEED)
    print("seed", SEED)
    z = 3 if dtype == "int8" else 131
    low = z - 131
    weight = rng.integers(low + 1, low + 256, (5, 3, 3, 8)).astype(dtype)
    tensors = [Tensor("x", (1, 6, 5, 4), dtype, 0.05, z), Tensor("pooled", (1, 6, 5, 4), dtype, 0.05, z), Tensor("both", (1, 6, 5, 8), dtype, 0.05, z),
               Tensor("wide", (1, 8, 8, 8), dtype, 0.05, z), Tensor("y", (1, 6, 6, 5), dtype, 0.4, z + 9),
               constant("p", np.array([[0, 0], [1, 1], [1, 2], [0, 0]], np.int32)), constant("w", weight, 0.02, low + 128),
               constant("b", rng.integers(-900, 900, 5).astype(np.int32), 0.001)]
    nodes = [Node("MAX_POOL_2D", ("x",), ("pooled",), pool(strideW=1, strideH=1)),
             Node("CONCATENATION", ("x", "pooled"), ("both",), ("ConcatenationOptions", {"axis": 3})),
             Node("PAD", ("both", "p"), ("wide",), ("PadOptions", {})), Node("CONV_2D", ("wide", "w", "b"), ("y",), conv(padding=VALID), 3)]
    data = build_model(tensors, nodes, ["x"], ["y", "pooled"])
    exact(tmp_path, data, {"x": rng.integers(low, low + 256, (1, 6, 5, 4)).astype(dtype)})
