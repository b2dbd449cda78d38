"""LSTM, GRU and RNN, written out, against ONNX Runtime: directions, layouts of what is given and asked for, peepholes, clips."""

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
from tests.frontend.onnx_builder import model_of, run_reference, save

SEED = 43
STEPS, BATCH, DEPTH, HIDDEN = 5, 2, 3, 4
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def recurrent(kind: str, given: tuple[str, ...] = (), outputs: int = 2, **attributes: Any) -> onnx.ModelProto:
    """given: the optional inputs, of bias, h, c and peepholes."""
    rng = np.random.default_rng(SEED)
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    rows = GATES[kind] * HIDDEN

    def normal(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) * 0.5).astype(np.float32)

    constants = {"w": normal(directions, rows, DEPTH), "r": normal(directions, rows, HIDDEN), "bias": normal(directions, 2 * rows),
                 "h": normal(directions, BATCH, HIDDEN), "c": normal(directions, BATCH, HIDDEN), "peepholes": normal(directions, 3 * HIDDEN)}
    inputs = ["x", "w", "r", *(n if n in given else "" for n in ("bias", "lengths", "h", "c", "peepholes"))]
    while not inputs[-1]:
        inputs.pop()
    names = ["y", "yh", "yc"][:outputs]
    node = helper.make_node(kind, inputs, names, "cell", hidden_size=HIDDEN, **attributes)
    return model_of([node], {"x": (STEPS, BATCH, DEPTH)}, names, {k: v for k, v in constants.items() if k in inputs}, 17)


def check(folder: pathlib.Path, model: onnx.ModelProto) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is the reference")
    print("seed", SEED)
    path = save(folder, model)
    x = np.random.default_rng(SEED).standard_normal((STEPS, BATCH, DEPTH)).astype(np.float32)
    program = to_program(load(path).module, "float")
    values = run_program(program, {"x": x})
    for name, wanted in zip(program.outputs, run_reference(path, {"x": x}), strict=True):
        np.testing.assert_allclose(values[name], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("given", [(), ("bias",), ("bias", "h")], ids=["weights", "bias", "state"])
@pytest.mark.parametrize("kind", GATES)
def test_directions(kind: str, given: tuple[str, ...], direction: str, tmp_path: pathlib.Path) -> None:
    check(tmp_path, recurrent(kind, given, direction=direction))


def test_lstm_in_full(tmp_path: pathlib.Path) -> None:
    check(tmp_path, recurrent("LSTM", ("bias", "h", "c", "peepholes"), 3, direction="bidirectional", clip=0.7))


@pytest.mark.parametrize("given", [(), ("bias", "h")], ids=["weights", "state"])
def test_gru_resets_after_the_product(given: tuple[str, ...], tmp_path: pathlib.Path) -> None:
    """As PyTorch and Keras train it."""
    check(tmp_path, recurrent("GRU", given, linear_before_reset=1))


def test_other_activations(tmp_path: pathlib.Path) -> None:
    check(tmp_path, recurrent("LSTM", ("bias",), activations=["HardSigmoid", "Relu", "Tanh"]))


def with_lengths(length: int) -> onnx.ModelProto:
    model = recurrent("GRU", ("bias", "lengths"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.full(BATCH, length, np.int32), "lengths"))
    return model


def test_whole_sequences(tmp_path: pathlib.Path) -> None:
    check(tmp_path, with_lengths(STEPS))


def at_run_time() -> onnx.ModelProto:
    model = recurrent("RNN")
    model.graph.input.append(helper.make_tensor_value_info("w", 1, [1, HIDDEN, DEPTH]))
    kept = [t for t in model.graph.initializer if t.name != "w"]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return model


@pytest.mark.parametrize(("model", "error", "says"), [
    (with_lengths(STEPS - 1), Unsupported, "sequences of other lengths than 5"),
    (at_run_time(), Unsupported, r"node 'cell' \(RNN\): the weights \('w'\) is computed at run time"),
    (recurrent("LSTM", activations=["Affine", "Tanh", "Tanh"]), Unsupported, "the activations affine"),
    (recurrent("RNN", activation_alpha=[0.3]), Unsupported, "parameters of activations"),
])
def test_refused(model: onnx.ModelProto, error: type[Exception], says: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(error, match=says) as found:
        load(save(tmp_path, model))
    assert "\n" not in str(found.value)


def test_weights_that_do_not_fit(tmp_path: pathlib.Path) -> None:
    model = recurrent("GRU")
    tensor = next(t for t in model.graph.initializer if t.name == "r")
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros((1, 7, HIDDEN), np.float32), "r"))
    with pytest.raises(InvalidModel, match="weights|dim"):
        load(save(tmp_path, model))
