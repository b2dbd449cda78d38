"""Broken and foreign ONNX files are refused in one line that names what is wrong."""

from __future__ import annotations

import pathlib
import warnings
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper

from nnc_tvm.errors import InvalidModel, NncError, Unsupported
from nnc_tvm.frontend import load
from tests.frontend.onnx_builder import model_of, save, value

IMAGE = [1, 3, 8, 8]
WEIGHTS = np.ones((4, 3, 3, 3), np.float32)


def node(op: str, inputs: list[str], outputs: list[str], name: str = "", **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, inputs, outputs, name, **attributes)


def relu(shape: list[object], opset: int = 17) -> onnx.ModelProto:
    return model_of([node("Relu", ["x"], ["y"], "r")], {"x": shape}, ["y"], opset=opset)


def qdq(scale: object, zero: object = np.int8(0), shape: tuple[int, ...] = (1, 3, 8, 8), axis: int = 1) -> onnx.ModelProto:
    nodes = [node("QuantizeLinear", ["x", "s", "z"], ["q"], "quant", axis=axis), node("DequantizeLinear", ["q", "s", "z"], ["y"], axis=axis)]
    return model_of(nodes, {"x": shape}, ["y"], {"s": np.asarray(scale, np.float32), "z": zero})


def conv(channels: int = 3, **attributes: object) -> onnx.ModelProto:
    return model_of([node("Conv", ["x", "w"], ["y"], "c1", **attributes)], {"x": [1, channels, 8, 8]}, ["y"], {"w": WEIGHTS})


def grown(op: str, *constants: np.ndarray | np.generic) -> onnx.ModelProto:
    """A sum with a constant that is made from smaller ones."""
    nodes = [node(op, [f"k{i}" for i in range(len(constants))], ["c"], "big"), node("Cast", ["c"], ["f"], to=onnx.TensorProto.FLOAT),
             node("ReduceSum", ["f"], ["s"]), node("Add", ["x", "s"], ["y"])]
    return model_of(nodes, {"x": [1]}, ["y"], {f"k{i}": k for i, k in enumerate(constants)})


def grown_from_shapes() -> onnx.ModelProto:
    nodes = [node("Relu", ["x"], ["r"]), node("Shape", ["r"], ["n"]), node("Mul", ["n", "k"], ["m"]), node("ConstantOfShape", ["m"], ["c"], "big"),
             node("ReduceSum", ["c"], ["s"]), node("Add", ["x", "s"], ["y"])]
    return model_of(nodes, {"x": [1]}, ["y"], {"k": np.array([2**33])})


def recurrent(**changed: object) -> onnx.ModelProto:
    weights = {"w": np.ones((1, 16, 3), np.float32), "r": np.ones((1, 16, 4), np.float32)}
    return model_of([node("LSTM", ["x", "w", "r"], ["y"], "l", **{"hidden_size": 4, **changed})], {"x": [2, 1, 3]}, ["y"], weights)


def no_graph() -> onnx.ModelProto:
    return onnx.ModelProto(ir_version=10)


def no_opset() -> onnx.ModelProto:
    model = relu(IMAGE)
    del model.opset_import[:]
    return model


def short_weights() -> onnx.ModelProto:
    model = conv()
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]
    return model


def outside() -> onnx.ModelProto:
    model = conv()
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "../../../etc/passwd")
    model.graph.initializer[0].ClearField("raw_data")
    return model


def two_unknown() -> onnx.ModelProto:
    nodes = [helper.make_node("Wibble", ["x"], ["a"], "w1", domain="com.acme"), helper.make_node("Wobble", ["a"], ["y"], "w2", domain="com.acme")]
    return model_of(nodes, {"x": IMAGE}, ["y"], domains=["com.acme"])


def wide_zero_point() -> onnx.ModelProto:
    model = qdq(0.1)
    model.graph.initializer[1].CopyFrom(helper.make_tensor("z", onnx.TensorProto.INT8, [], [3]))
    model.graph.initializer[1].int32_data[0] = 200
    return model


def qlinear_add(scale: float) -> onnx.ModelProto:
    constants = {"s": np.float32(0.1), "bad": np.float32(scale), "z": np.uint8(0)}
    nodes = [node("QLinearAdd", ["x", "s", "z", "x", "bad", "z", "s", "z"], ["y"], "sum", domain="com.microsoft")]
    return model_of(nodes, {"x": [4]}, ["y"], constants, dtype="uint8", domains=["com.microsoft"])


def nested(depth: int) -> onnx.ModelProto:
    """If within If within If ..."""
    graph = helper.make_graph([node("Relu", ["x"], ["out"])], "inner", [], [value("out", IMAGE)])
    for i in range(depth):
        graph = helper.make_graph([node("If", ["c"], ["out"], f"if{i}", then_branch=graph, else_branch=graph if i == 0 else helper.make_graph(
            [node("Relu", ["x"], ["out"])], "leaf", [], [value("out", IMAGE)]))], f"g{i}", [], [value("out", IMAGE)])
    model = model_of([*graph.node], {"x": IMAGE}, ["out"])
    model.graph.input.append(helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, []))
    return model


def with_functions(bodies: dict[str, list[str]]) -> onnx.ModelProto:
    """A model that calls "f0"; each function calls those that it lists in a row."""
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    functions = []
    for name, callees in bodies.items():
        names = ["a", *(f"t{i}" for i in range(len(callees) - 1)), "b"]
        nodes = [helper.make_node(c, [names[i]], [names[i + 1]], domain="" if c == "Relu" else "own") for i, c in enumerate(callees)]
        functions.append(helper.make_function("own", name, ["a"], ["b"], nodes, opset))
    model = model_of([helper.make_node("f0", ["x"], ["y"], domain="own")], {"x": IMAGE}, ["y"], domains=["own"])
    model.functions.extend(functions)
    return model


def unreadable_offset() -> onnx.ModelProto:
    model = outside()
    for entry in model.graph.initializer[0].external_data:
        entry.value = "w.bin"
    model.graph.initializer[0].external_data.add(key="offset", value="soon")
    return model


def twice(field: str) -> onnx.ModelProto:
    model = conv()
    values = getattr(model.graph, field)
    values.append(values[0])
    return model


def with_ir_version(version: int | None) -> onnx.ModelProto:
    model = relu(IMAGE)
    if version is None:
        model.ClearField("ir_version")
    else:
        model.ir_version = version
    return model


def two_opsets() -> onnx.ModelProto:
    model = relu(IMAGE)
    model.opset_import.append(helper.make_opsetid("ai.onnx", 13))
    return model


def symlink_to_itself() -> onnx.ModelProto:
    model = outside()
    model.graph.initializer[0].external_data[0].value = "loop"
    return model


def batch_norm(variance: list[float]) -> onnx.ModelProto:
    constants = {"one": np.ones(3, np.float32), "v": np.array(variance, np.float32)}
    return model_of([node("BatchNormalization", ["x", "one", "one", "one", "v"], ["y"], "bn")], {"x": IMAGE}, ["y"], constants)


def one(op: str, constants: dict[str, object], shape: list[object] = IMAGE, **attributes: object) -> onnx.ModelProto:
    """One node "n" that reads x and constants."""
    return model_of([node(op, ["x", *constants], ["y"], "n", **attributes)], {"x": shape}, ["y"], constants)


def blocked(scale: float) -> onnx.ModelProto:
    nodes = [node("DequantizeLinear", ["w", "s"], ["d"], "dq", axis=1, block_size=8), node("Gemm", ["x", "d"], ["y"], transB=1)]
    return model_of(nodes, {"x": [4, 24]}, ["y"], {"w": np.full((16, 24), 100, np.int8), "s": np.full((16, 3), scale, np.float32)}, opset=21)


def n_bits(scale: float, zeros: int) -> onnx.ModelProto:
    constants = {"w": np.full((4, 2, 8), 0x99, np.uint8), "s": np.full(8, scale), "z": np.zeros(zeros, np.uint8)}
    nodes = [helper.make_node("MatMulNBits", ["x", *constants], ["y"], "nb", K=32, N=4, bits=4, block_size=16, domain="com.microsoft")]
    return model_of(nodes, {"x": [2, 32]}, ["y"], constants, domains=["com.microsoft"])


def declared_otherwise() -> onnx.ModelProto:
    model = model_of([node("QuantizeLinear", ["x", "s", "z"], ["y"])], {"x": IMAGE}, ["y"], {"s": np.float32(0.1), "z": np.int8(0)})
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    return model


def integer_product() -> onnx.ModelProto:
    constants = {"w": np.ones((4, 5), np.int8), "a": np.int8(0), "z": np.zeros(3, np.int8)}
    return model_of([node("MatMulInteger", ["x", *constants], ["y"], "mi")], {"x": [3, 4]}, ["y"], constants, dtype="int8", output_dtype="int32")


CASES: list[tuple[str, Callable[[], onnx.ModelProto], type[NncError], tuple[str, ...]]] = [
    ("no graph", no_graph, InvalidModel, ("no graph",)),
    ("no nodes", lambda: model_of([], {"x": IMAGE}, ["x"]), InvalidModel, ("no nodes",)),
    ("no opset", no_opset, InvalidModel, ("opset_import",)),
    ("opset 999", lambda: relu(IMAGE, 999), Unsupported, ("999", "export")),
    ("opset 5", lambda: relu(IMAGE, 5), Unsupported, ("opset 5", "export")),
    ("cycle", lambda: model_of([node("Add", ["x", "b"], ["a"], "n1"), node("Relu", ["a"], ["b"], "n2"), node("Relu", ["b"], ["y"])], {"x": IMAGE}, ["y"]),
     InvalidModel, ("n1", "'b'", "cycle")),
    ("undefined input", lambda: model_of([node("Add", ["x", "ghost"], ["y"], "n1")], {"x": IMAGE}, ["y"]), InvalidModel, ("n1", "ghost")),
    ("undefined output", lambda: model_of([node("Relu", ["x"], ["y"])], {"x": IMAGE}, ["z"]), InvalidModel, ("'z'",)),
    ("duplicate output", lambda: model_of([node("Relu", ["x"], ["y"]), node("Neg", ["x"], ["y"], "n2")], {"x": IMAGE}, ["y"]), InvalidModel, ("n2", "'y'")),
    ("unknown operators, all named", two_unknown, Unsupported, ("Wibble", "Wobble", "w1", "w2")),
    ("no conversion", lambda: model_of([node("STFT", ["x", "s"], ["y"], "ft")], {"x": [1, 64, 1]}, ["y"], {"s": np.int64(8)}), Unsupported, ("STFT",)),
    ("negative dim", lambda: relu([1, -3, 8, 8]), InvalidModel, ("'x'", "-3")),
    ("zero dim", lambda: relu([1, 0, 8, 8]), InvalidModel, ("'x'", "0")),
    ("huge dims", lambda: relu([1, 1 << 20, 1 << 20, 8]), InvalidModel, ("'x'", "elements")),
    ("dynamic height", lambda: relu(["N", 3, "H", 8]), Unsupported, ("'x'", "'H'", "axis 2", "fixed")),
    ("scale 0", lambda: qdq(0), InvalidModel, ("quant", "0", "'s'")),
    ("scale NaN", lambda: qdq("nan"), InvalidModel, ("quant", "nan")),
    ("scale inf", lambda: qdq("inf"), InvalidModel, ("quant", "inf")),
    ("scale negative", lambda: qdq(-0.1), InvalidModel, ("quant", "-0.1")),
    ("scale subnormal", lambda: qdq(1e-40), InvalidModel, ("quant", "e-41", "subnormal")),
    ("scale of another dialect", lambda: qlinear_add(-0.5), InvalidModel, ("sum", "-0.5", "'bad'")),
    ("zero point beyond int8", wide_zero_point, InvalidModel, ("'z'", "200", "-128..127")),
    ("control flow", lambda: nested(1), Unsupported, ("if0", "control flow", "run time")),
    ("control flow, 30 deep", lambda: nested(30), Unsupported, ("more than 8 deep", "control flow")),
    ("a function that calls itself", lambda: with_functions({"f0": ["f1"], "f1": ["f0"]}), InvalidModel, ("calls itself",)),
    ("functions that double 40 times", lambda: with_functions({**{f"f{i}": [f"f{i + 1}"] * 2 for i in range(40)}, "f40": ["Relu"]}), Unsupported, ("nodes",)),
    ("external data at no offset", unreadable_offset, InvalidModel, ("'w'", "cannot be read")),
    ("5 scales for 3 channels", lambda: qdq([0.1] * 5, np.zeros(5, np.int8)), InvalidModel, ("quant", "5")),
    ("zero point of another shape", lambda: qdq([0.1] * 3, np.zeros(2, np.int8)), InvalidModel, ("quant",)),
    ("kernel_shape", lambda: conv(kernel_shape=[5, 5]), InvalidModel, ("c1", "[5, 5]", "[4, 3, 3, 3]")),
    ("channels", lambda: conv(7), InvalidModel, ("c1", "7")),
    ("unknown attribute", lambda: model_of([node("Relu", ["x"], ["y"], "r", wibble=3)], {"x": IMAGE}, ["y"]), InvalidModel, ("wibble",)),
    ("attribute NaN", lambda: model_of([node("LeakyRelu", ["x"], ["y"], "lr", alpha=float("nan"))], {"x": IMAGE}, ["y"]), InvalidModel, ("lr", "alpha", "nan")),
    ("weights cut off", short_weights, InvalidModel, ("'w'", "bytes")),
    ("NaN weights", lambda: model_of([node("Conv", ["x", "w"], ["y"])], {"x": IMAGE}, ["y"], {"w": WEIGHTS * np.nan}), InvalidModel, ("'w'", "NaN")),
    ("external data outside the folder", outside, InvalidModel, ("'w'", "outside")),
    ("window larger than the image", lambda: model_of([node("MaxPool", ["x"], ["y"], "mp", kernel_shape=[9, 9])], {"x": IMAGE}, ["y"]), InvalidModel, ()),
    ("padding as wide as the window", lambda: model_of([node("AveragePool", ["x"], ["y"], "ap", kernel_shape=[2, 2], pads=[2, 0, 0, 0])], {"x": IMAGE}, ["y"]),
     InvalidModel, ("ap", "[2, 0, 0, 0]")),
    ("stride 0", lambda: conv(strides=[0, 1]), InvalidModel, ("c1", "strides")),
    ("two outputs of one name", lambda: twice("output"), InvalidModel, ("output", "'y'", "twice")),
    ("two initializers of one name", lambda: twice("initializer"), InvalidModel, ("initializer", "'w'", "twice")),
    ("two inputs of one name", lambda: twice("input"), InvalidModel, ("input", "'x'", "twice")),
    ("two opsets", two_opsets, InvalidModel, ("two opsets", "ai.onnx")),
    ("no ir_version", lambda: with_ir_version(None), InvalidModel, ("ir_version", "export")),
    ("ir_version 99", lambda: with_ir_version(99), Unsupported, ("ir_version 99", "export")),
    ("an input without a shape", lambda: one("Relu", {}, None), InvalidModel, ("'x'", "shape", "export")),
    ("external data in a symlink to itself", symlink_to_itself, InvalidModel, ("'w'", "cannot be read")),
    ("shapes that differ", lambda: one("Add", {"b": np.ones(5, np.float32)}), InvalidModel, ("node 'n' (Add)", "'x' [1, 3, 8, 8]", "'b' [5]", "export")),
    ("dtypes that differ", lambda: one("Add", {"b": np.ones(8, np.int32)}), InvalidModel, ("node 'n' (Add)", "int32", "export")),
    ("an axis beyond the rank", lambda: one("Softmax", {}, axis=7), InvalidModel, ("node 'n' (Softmax)", "7")),
    ("an attribute left out", lambda: one("Cast", {}), InvalidModel, ("node 'n' (Cast)", "'to'")),
    ("a second node that does not fit",
     lambda: model_of([node("Relu", ["x"], ["a"]), node("MatMul", ["a", "w"], ["y"], "mm")], {"x": [2, 5]}, ["y"], {"w": np.ones((4, 3), np.float32)}),
     InvalidModel, ("node 'mm' (MatMul)", "'a' [2, 5]", "'w' [4, 3]")),
    ("bias of a convolution", lambda: one("Conv", {"w": WEIGHTS, "b": np.ones(7, np.float32)}), InvalidModel, ("'n'", "'b'", "[7]", "[4]")),
    ("C of a Gemm", lambda: one("Gemm", {"w": np.ones((4, 3), np.float32), "b": np.ones(5, np.float32)}, [2, 4]), InvalidModel, ("'n'", "[5]", "[2, 3]")),
    ("channels of a transposed convolution", lambda: one("ConvTranspose", {"w": WEIGHTS}), InvalidModel, ("'n'", "[4, 3, 3, 3]", "3 channels")),
    ("output_padding beyond the stride", lambda: one("ConvTranspose", {"w": np.ones((3, 4, 3, 3), np.float32)}, output_padding=[5, 5]),
     InvalidModel, ("[5, 5]",)),
    ("auto_pad unknown", lambda: conv(auto_pad="SOMEHOW"), InvalidModel, ("c1", "SOMEHOW", "SAME_UPPER")),
    ("NaN in a sum", lambda: one("Add", {"b": np.full(8, np.nan, np.float32)}), InvalidModel, ("'n'", "'b'", "NaN")),
    ("infinite slopes", lambda: one("PRelu", {"b": np.full(8, np.inf, np.float32)}), InvalidModel, ("'n'", "'b'", "infinite")),
    ("negative variance", lambda: batch_norm([1, -2, 1]), InvalidModel, ("bn", "'v'", "-2")),
    ("NaN variance", lambda: batch_norm([1, float("nan"), 1]), InvalidModel, ("bn", "'v'", "NaN")),
    ("scales of two axes", lambda: one("QuantizeLinear", {"s": np.ones((3, 8), np.float32)}), InvalidModel, ("'n'", "'s'", "[3, 8]")),
    ("a blocked scale beyond float32", lambda: blocked(3e38), InvalidModel, ("dq", "3e+38")),
    ("MatMulNBits, scale beyond float32", lambda: n_bits(1e300, 4), InvalidModel, ("nb", "infinite")),
    ("MatMulNBits, weights beyond float32", lambda: n_bits(3e38, 4), InvalidModel, ("nb", "3e+38")),
    ("MatMulNBits, zero points missing", lambda: n_bits(0.1, 1), InvalidModel, ("nb", "zero points")),
    ("zero points of an integer product", integer_product, InvalidModel, ("mi", "'z' [3]", "5 channels")),
    ("a name of 5000 letters", lambda: model_of([node("Softmax", ["x"], ["y"], "n" * 5000, axis=7)], {"x": IMAGE}, ["y"]),
     InvalidModel, ("nnn' (Softmax)", "export")),
    ("an output of another dtype", declared_otherwise, InvalidModel, ("'y'", "uint8", "int8")),
    ("a large constant", lambda: grown("ConstantOfShape", np.array([2**33])), Unsupported, ("node 'big' (ConstantOfShape)", "'c'", "[8589934592]", "33554432")),
    ("a long range", lambda: grown("Range", np.float32(0), np.float32(1e12), np.float32(1)), Unsupported, ("node 'big' (Range)", "'c'", "smaller")),
    ("an outer product", lambda: grown("Mul", np.ones((1, 2**17), np.float32), np.ones((2**17, 1), np.float32)), Unsupported, ("'big'", "[131072, 131072]")),
    ("a tile of constants", lambda: grown("Tile", np.array([3]), np.array([2**40])), Unsupported, ("node 'big' (Tile)", "[1099511627776]")),
    ("a size computed from shapes", grown_from_shapes, Unsupported, ("node 'big' (ConstantOfShape)", "[8589934592]")),
    ("a stride of 41 bits", lambda: conv(strides=[2**40, 1]), InvalidModel, ("c1", "strides", "1099511627776", "31 bits")),
    ("an unknown direction", lambda: recurrent(direction="sideways"), InvalidModel, ("'l'", "sideways", "bidirectional")),
    ("another hidden_size", lambda: recurrent(hidden_size=5), InvalidModel, ("'l'", "hidden_size 5", "[1, 16, 4]")),
    ("float16 input", lambda: _retyped(onnx.TensorProto.FLOAT16), Unsupported, ("'x'", "float16")),
]


def _retyped(kind: int) -> onnx.ModelProto:
    model = relu(IMAGE)
    for v in (*model.graph.input, *model.graph.output):
        v.type.tensor_type.elem_type = kind
    return model


@pytest.mark.parametrize(("build", "kind", "says"), [pytest.param(*c[1:], id=c[0]) for c in CASES])
def test_refused(tmp_path: pathlib.Path, build: Callable[[], onnx.ModelProto], kind: type[NncError], says: tuple[str, ...]) -> None:
    path = save(tmp_path, build())
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(kind) as error, warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # noise beside the message
        load(path)
    message = str(error.value)
    print(message)
    assert message.startswith("model.onnx: ") and "\n" not in message and len(message) < 400
    assert all(word in message for word in says), message


def test_truncated_anywhere(tmp_path: pathlib.Path) -> None:
    """Every proper prefix of a model is refused."""
    model = model_of([node("Conv", ["x", "w"], ["y"], "c1"), node("Relu", ["y"], ["z"])], {"x": IMAGE}, ["z"], {"w": WEIGHTS})
    data = model.SerializeToString()
    for size in range(1, len(data), 7):
        path = tmp_path / "cut.onnx"
        path.write_bytes(data[:size])
        with pytest.raises(InvalidModel):
            load(path)


def test_damaged_bytes_never_crash(tmp_path: pathlib.Path) -> None:
    """Flipped bytes give a model or one clear line, nothing else."""
    seed = 3
    print("seed", seed)
    rng = np.random.default_rng(seed)
    data = np.frombuffer(qdq(0.1).SerializeToString(), np.uint8)
    for _ in range(300):
        damaged = data.copy()
        damaged[rng.integers(0, len(data), 2)] = rng.integers(0, 256, 2)
        path = tmp_path / "damaged.onnx"
        path.write_bytes(damaged.tobytes())
        try:
            load(path)
        except (InvalidModel, Unsupported) as error:
            assert "\n" not in str(error)


def test_external_data_is_read(tmp_path: pathlib.Path) -> None:
    model = conv()
    (tmp_path / "w.bin").write_bytes(b"pad!" + WEIGHTS.tobytes())
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "w.bin", offset=4, length=WEIGHTS.nbytes)
    model.graph.initializer[0].ClearField("raw_data")
    source = load(save(tmp_path, model))
    assert source.file_bytes == (tmp_path / "model.onnx").stat().st_size + WEIGHTS.nbytes + 4


def test_batch_becomes_one(tmp_path: pathlib.Path) -> None:
    for first in ("N", None):
        source = load(save(tmp_path, relu([first, 3, 8, 8])))
        assert source.inputs[0].shape == source.outputs[0].shape == (1, 3, 8, 8)


def test_value_info_helper_leaves_shapes_open() -> None:
    assert not value("y", None).type.tensor_type.HasField("shape")


def test_external_data_behind_a_link(tmp_path: pathlib.Path) -> None:
    """A symbolic link does not lead out of the model's folder either."""
    (tmp_path / "secret.bin").write_bytes(WEIGHTS.tobytes())
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "w.bin").symlink_to(tmp_path / "secret.bin")
    model = conv()
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "w.bin")
    model.graph.initializer[0].ClearField("raw_data")
    with pytest.raises(InvalidModel, match="'w' is in the external file 'w.bin' outside the model's folder"):
        load(save(folder, model))


def test_own_functions_are_written_out(tmp_path: pathlib.Path) -> None:
    source = load(save(tmp_path, with_functions({"f0": ["f1", "f1"], "f1": ["Relu"]})))
    assert str(source.module).count("R.nn.relu") == 2


def test_subgraphs_deeper_than_a_stack(tmp_path: pathlib.Path) -> None:
    """Written by hand: protobuf itself would not write it."""

    def field(number: int, data: bytes) -> bytes:
        size, length = [], len(data)
        while True:
            size.append(length & 127 | (128 if length > 127 else 0))
            length >>= 7
            if not length:
                return bytes([number << 3 | 2, *size]) + data

    graph = b""
    for _ in range(20_000):  # GraphProto.node (1) . attribute (5) . g (6)
        graph = field(1, field(5, field(6, graph)))
    (tmp_path / "deep.onnx").write_bytes(b"\x08\x0a" + field(7, graph))
    with pytest.raises(InvalidModel, match="not an ONNX model"):
        load(tmp_path / "deep.onnx")


def test_a_model_without_inputs(tmp_path: pathlib.Path) -> None:
    constant = helper.make_node("Constant", [], ["y"], value=onnx.numpy_helper.from_array(np.ones(3, np.float32)))
    with pytest.raises(Unsupported, match="no inputs"):
        load(save(tmp_path, model_of([constant], {}, ["y"], {})))
