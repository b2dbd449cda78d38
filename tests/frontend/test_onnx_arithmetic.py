"""Remainders, shifts and elements in another order, against NumPy."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.frontend import load
from nnc_tvm.reference import run_program
from nnc_tvm.relay_passes.pipeline import to_program
from tests.frontend.onnx_builder import save

SEED = 53
NEWEST = onnx.defs.onnx_opset_version()
X = np.arange(2 * 8 * 4 * 6, dtype=np.float32).reshape(2, 8, 4, 6)


def model_of(op: str, arrays: list[np.ndarray], outputs: int = 1, opset: int = 17, **attributes: Any) -> onnx.ModelProto:
    """One node "n": the first array is the input x, the others are constants."""
    names = ["x", *(f"c{i}" for i in range(1, len(arrays)))]
    node = helper.make_node(op, names, [f"y{i}" for i in range(outputs)], "n", **attributes)
    x = helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(arrays[0].dtype), arrays[0].shape)
    results = [helper.make_empty_tensor_value_info(name) for name in node.output]
    constants = [onnx.numpy_helper.from_array(a, n) for a, n in zip(arrays[1:], names[1:], strict=True)]
    graph = helper.make_graph([node], "g", [x], results, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=onnx.IR_VERSION if opset == NEWEST else 10)


def computed(folder: pathlib.Path, model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    program = to_program(load(save(folder, model)).module, "float")
    return np.asarray(run_program(program, {"x": x})[program.outputs[0]])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"])
@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
def test_shifts(direction: str, dtype: str, tmp_path: pathlib.Path) -> None:
    """By every count up to beyond the width, and by negative ones; BitShift of signed integers is new."""
    print("seed", SEED)
    info = np.iinfo(dtype)
    x = np.random.default_rng(SEED).integers(info.min, info.max, 200, dtype, endpoint=True)
    counts = (np.arange(200) % (info.bits + 5) - 2 * (info.min < 0)).astype(dtype)
    function = np.left_shift if direction == "LEFT" else np.right_shift
    found = computed(tmp_path, model_of("BitShift", [x, counts], opset=NEWEST if info.min < 0 else 17, direction=direction), x)
    np.testing.assert_array_equal(found, function(x, counts))


@pytest.mark.parametrize("fmod", [0, 1])
def test_remainders(fmod: int, tmp_path: pathlib.Path) -> None:
    x, y = (v.reshape(-1).astype(np.float32) for v in np.meshgrid([-7.5, -3, -0.0, 0, 1, 3, 8.25, np.inf, np.nan], [-2, 2, -np.inf, np.inf, 0, 3.5]))
    with np.errstate(invalid="ignore"):
        wanted = np.fmod(x, y) if fmod else np.mod(x, y)
    np.testing.assert_array_equal(computed(tmp_path, model_of("Mod", [x, y], opset=NEWEST, fmod=fmod), x), wanted)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_space_to_depth_and_back(mode: str, tmp_path: pathlib.Path) -> None:
    attributes = {"opset": NEWEST, "mode": mode} if mode == "CRD" else {}
    deep = computed(tmp_path, model_of("SpaceToDepth", [X], blocksize=2, **attributes), X)
    np.testing.assert_array_equal(computed(tmp_path, model_of("DepthToSpace", [deep], blocksize=2, mode=mode), deep), X)


@pytest.mark.parametrize("time", [0, 1])
def test_reversed_sequences(time: int, tmp_path: pathlib.Path) -> None:
    lengths = np.array([2, 0, 1, 2, 1, 2, 0, 1] if time == 0 else [8, 5], np.int64)
    wanted = X.copy()
    for entry, length in enumerate(lengths):
        place = (slice(0, length), entry) if time == 0 else (entry, slice(0, length))
        wanted[place] = X[place][::-1]
    found = computed(tmp_path, model_of("ReverseSequence", [X, lengths], time_axis=time, batch_axis=1 - time), X)
    np.testing.assert_array_equal(found, wanted)


def test_a_pad_from_the_other_end(tmp_path: pathlib.Path) -> None:
    pads = np.array([0, 1, 2, 0, 1, 0, 3, 6], np.int64)
    wanted = np.pad(X, list(zip(pads[:4], pads[4:], strict=True)), mode="wrap")
    np.testing.assert_array_equal(computed(tmp_path, model_of("Pad", [X, pads], opset=19, mode="wrap"), X), wanted)


def test_parts_without_elements_disappear(tmp_path: pathlib.Path) -> None:
    nodes = [helper.make_node("Split", ["x", "sizes"], ["a", "none", "b"], axis=1), helper.make_node("Neg", ["none"], ["still_none"]),
             helper.make_node("Concat", ["b", "still_none", "a"], ["y"], axis=1)]
    model = model_of("Relu", [X])
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([3, 0, 5], np.int64), "sizes"))
    model.graph.output[0].name = "y"
    np.testing.assert_array_equal(computed(tmp_path, model, X), np.concatenate([X[:, 3:], X[:, :3]], 1))


@pytest.mark.parametrize(("model", "kind", "says"), [
    (model_of("MaxPool", [X], 2, kernel_shape=[2, 2]), Unsupported, "indices of a max pooling"),
    (model_of("Pad", [X, np.array([0, 9, 0, 0, 0, 0, 0, 0], np.int64)], opset=19, mode="wrap"), InvalidModel, "pads 9 and 0 of mode wrap on axis 1"),
    (model_of("ReverseSequence", [X, np.array([1, 9], np.int64)], time_axis=1, batch_axis=0), InvalidModel, "lengths"),
])
def test_what_is_refused_is_named(model: onnx.ModelProto, kind: type[Exception], says: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(kind, match=f"node 'n' .*{says}"):
        load(save(tmp_path, model))
