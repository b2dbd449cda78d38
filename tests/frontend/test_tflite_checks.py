"""Broken and foreign TFLite files are refused in one line that names what is wrong."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

from nnc_tvm.errors import InvalidModel, NncError, Unsupported
from nnc_tvm.frontend import load
from tests.tflite_builder import NONE, SAME, Node, Tensor, build_model, constant

CONV = ("Conv2DOptions", {"padding": SAME, "strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1, "fusedActivationFunction": NONE})
X = Tensor("x", (1, 8, 8, 3), "int8", 0.1, 3)
Y = Tensor("y", (1, 8, 8, 4), "int8", 0.2, -5)
W = constant("w", np.ones((4, 3, 3, 3), np.int8), [0.01] * 4, 0, 0)
RELU = [Node("RELU", ("x",), ("y",))]


def conv(x: Tensor = X, w: Tensor = W, y: Tensor = Y, **options: int) -> bytes:
    return build_model([x, w, y], [Node("CONV_2D", ("x", "w"), ("y",), (CONV[0], {**CONV[1], **options}))], ["x"], ["y"])


def relu(x: Tensor) -> bytes:
    return build_model([x, Tensor("y", x.shape, x.dtype, x.scale, x.zero_point)], RELU, ["x"], ["y"])


def weights(**changes: Any) -> Tensor:
    return Tensor(**{"name": "w", "shape": W.shape, "dtype": "int8", "scale": W.scale, "zero_point": 0, "axis": 0, "data": W.data, **changes})


F = Tensor("x", (1, 8, 8, 3), "float32")


def in_float(code: str, options: tuple[str, dict[str, Any]], *constants: Tensor) -> bytes:
    """One operator on floats of one shape."""
    nodes = [Node(code, ("x", *(c.name for c in constants)), ("y",), options)]
    return build_model([F, *constants, Tensor("y", F.shape, "float32")], nodes, ["x"], ["y"])


NAN = float("nan")
CASES: list[tuple[str, bytes, type[NncError], tuple[str, ...]]] = [
    ("a slope that is NaN", in_float("LEAKY_RELU", ("LeakyReluOptions", {"alpha": NAN})), InvalidModel, ("LEAKY_RELU", "alpha is nan")),
    ("a softmax of factor NaN", in_float("SOFTMAX", ("SoftmaxOptions", {"beta": NAN})), InvalidModel, ("SOFTMAX", "beta is nan")),
    ("an axis beyond the rank", in_float("GATHER", ("GatherOptions", {"axis": 9}), constant("i", np.array([0], np.int32))), InvalidModel, ("GATHER", "axis 9")),
    ("a sum with NaN", in_float("ADD", ("AddOptions", {}), constant("b", np.full(3, NAN, np.float32))), InvalidModel, ("'y'", "NaN")),
    ("no operators", build_model([X], [], ["x"], ["x"]), InvalidModel, ("no operators",)),
    ("custom operator", build_model([F, Tensor("y", F.shape, "float32")], [Node("CUSTOM", ("x",), ("y",))], ["x"], ["y"]), Unsupported, ("CUSTOM", "'y'")),
    ("no conversion", build_model([F, Tensor("y", (1,), "float32")], [Node("SKIP_GRAM", ("x",), ("y",))], ["x"], ["y"]), Unsupported, ("SKIP_GRAM", "'y'")),
    ("quantized where only float is known", build_model([X, Tensor("y", X.shape, "int8", 0.1, 0)], [Node("SIN", ("x",), ("y",))], ["x"], ["y"]),
     Unsupported, ("SIN", "'y'")),
    ("scale 0", relu(Tensor("x", (1, 4), "int8", 0.0)), InvalidModel, ("'x'", "scale 0")),
    ("scale NaN", relu(Tensor("x", (1, 4), "int8", float("nan"))), InvalidModel, ("'x'", "nan")),
    ("scale negative", relu(Tensor("x", (1, 4), "int8", -1.0)), InvalidModel, ("'x'", "-1")),
    ("zero point outside", relu(Tensor("x", (1, 4), "int8", 0.1, 200)), InvalidModel, ("'x'", "200", "-128..127")),
    ("negative dim", relu(Tensor("x", (1, -4), "int8", 0.1)), InvalidModel, ("'x'", "-4")),
    ("zero dim", relu(Tensor("x", (1, 0), "int8", 0.1)), InvalidModel, ("'x'", "0")),
    ("huge dims", relu(Tensor("x", (1 << 20, 1 << 20), "int8", 0.1)), InvalidModel, ("'x'", "elements")),
    ("16-bit activations", relu(Tensor("x", (1, 4), "int16", 0.1)), Unsupported, ("'x'", "int8")),
    ("16-bit activations under int8 weights", conv(Tensor("x", X.shape, "int16", 0.1), W, Tensor("y", Y.shape, "int16", 0.1)), Unsupported,
     ("CONV_2D", "16-bit", "'x'")),
    ("scale subnormal", relu(Tensor("x", (1, 4), "int8", 1e-40)), InvalidModel, ("'x'", "subnormal")),
    ("scales and channels", conv(w=weights(scale=[0.1] * 3)), InvalidModel, ("'w'", "3 scales")),
    ("channels", conv(Tensor("x", (1, 8, 8, 7), "int8", 0.1)), InvalidModel, ("CONV_2D", "'w'", "[1, 8, 8, 7]")),
    ("stride 0", conv(strideW=0), InvalidModel, ("CONV_2D", "strides")),
    ("declared output", conv(y=Tensor("y", (1, 9, 9, 4), "int8", 0.1)), InvalidModel, ("'y'", "[1, 9, 9, 4]", "[1, 8, 8, 4]")),
    ("buffer too short", conv(w=weights(shape=(4, 3, 3, 6))), InvalidModel, ("'w'", "108")),
    ("undefined input", build_model([X, Y, Tensor("g", Y.shape, "int8", 0.1)], [Node("ADD", ("x", "g"), ("y",), ("AddOptions", {}))], ["x"], ["y"]),
     InvalidModel, ("ADD", "'g'")),
    ("written twice", build_model([X, Tensor("y", X.shape, "int8", 0.1)], RELU * 2, ["x"], ["y"]), InvalidModel, ("'y'",)),
    ("output nobody makes", build_model([X, Tensor("y", X.shape, "int8", 0.1), Tensor("z", (1,), "int8", 0.1)], RELU, ["x"], ["z"]),
     InvalidModel, ("'z'",)),
    ("options missing", build_model([X, W, Y], [Node("CONV_2D", ("x", "w"), ("y",))], ["x"], ["y"]), InvalidModel, ("CONV_2D", "Conv2DOptions")),
]


@pytest.mark.parametrize(("data", "kind", "says"), [pytest.param(*c[1:], id=c[0]) for c in CASES])
def test_refused(tmp_path: pathlib.Path, data: bytes, kind: type[NncError], says: tuple[str, ...]) -> None:
    (tmp_path / "model.tflite").write_bytes(data)
    with pytest.raises(kind) as error:
        load(tmp_path / "model.tflite")
    message = str(error.value)
    print(message)
    assert message.startswith("model.tflite: ") and "\n" not in message and len(message) < 400
    assert all(word in message for word in says), message


def test_truncated_anywhere(tmp_path: pathlib.Path) -> None:
    """A file cut off is refused; only zeros that pad its end may be missing."""
    data = conv()
    needed = len(data.rstrip(b"\0"))
    for size in [*range(1, needed, 5), needed - 4]:
        path = tmp_path / "cut.tflite"
        path.write_bytes(data[:size])
        with pytest.raises((InvalidModel, Unsupported)):
            load(path)


def test_damaged_bytes_never_crash(tmp_path: pathlib.Path) -> None:
    """Flipped bytes give a model or one clear line, nothing else."""
    seed = 4
    print("seed", seed)
    rng = np.random.default_rng(seed)
    data = np.frombuffer(conv(), np.uint8)
    path = tmp_path / "damaged.tflite"
    for _ in range(300):
        damaged = data.copy()
        damaged[rng.integers(8, len(data), 2)] = rng.integers(0, 256, 2)
        path.write_bytes(damaged.tobytes())
        try:
            load(path)
        except (InvalidModel, Unsupported) as error:
            assert "\n" not in str(error)
