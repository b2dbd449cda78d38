"""Float layers of quantized networks say why they are float."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from nnc_tvm.frontend import load
from nnc_tvm.relay_passes.pipeline import to_program
from tests.compiler.onnx_qdq import QdqGraph
from tests.frontend.onnx_builder import save


def network(case: str) -> tuple[QdqGraph, str]:
    """A quantized convolution, then one that lacks something; and its output."""
    g = QdqGraph("int8", "int8")
    w = np.random.default_rng(3).standard_normal((4, 4, 3, 3)).astype(np.float32)
    x = g.qdq("x", 0.05, 3)
    first = g.node("Conv", x, g.weight(w, 0))
    if case == "input":
        y = g.node("Conv", first, g.weight(w, 0))
    elif case == "weights":
        y = g.node("Conv", g.qdq(first, 0.1, 0), g.constant(w))
    elif case == "both":
        y = g.node("Conv", first, g.constant(w))
    else:
        y = g.node("Conv", g.qdq(first, 0.1, 0), g.weight(w, 1))
    return g, y


@pytest.mark.parametrize(("case", "says"), [
    ("input", "float in the model: its input is not quantized"), ("weights", "float in the model: its weights are not quantized"),
    ("both", "float in the model: neither its input nor its weights are quantized"), ("axis", "scales of its weights do not lie along its output channels"),
])
def test_the_reason(case: str, says: str, tmp_path: pathlib.Path) -> None:
    g, y = network(case)
    program = to_program(load(save(tmp_path, g.model({"x": (1, 4, 9, 9)}, {y: "float32"}))).module, "float")
    notes = {layer.operator.inputs[0].dtype: layer.note for layer in program.layers if layer.operator.macs}
    assert notes["int8"] == "" and says in notes["float32"]


def test_float_networks_need_no_reason(tmp_path: pathlib.Path) -> None:
    g = QdqGraph("int8", "int8")
    y = g.node("Conv", "x", g.constant(np.ones((4, 4, 3, 3), np.float32)))
    program = to_program(load(save(tmp_path, g.model({"x": (1, 4, 9, 9)}, {y: "float32"}))).module, "float")
    assert [layer.note for layer in program.layers if layer.operator.macs] == [""]


@pytest.mark.parametrize(("case", "says"), [
    ("output", "float in the model: its output is not quantized"), ("one", "float in the model: not every input is quantized"),
    ("none", "float in the model: no input is quantized, nor is its output"), ("both", "float in the model: not every input is quantized, nor is its output"),
])
def test_the_reason_of_a_sum(case: str, says: str, tmp_path: pathlib.Path) -> None:
    """A sum has an integer form: what the model does not quantize is why it is float."""
    g = QdqGraph("int8", "int8")
    a, b = g.node("Conv", g.qdq("x", 0.05, 3), g.weight(np.ones((4, 4, 1, 1), np.float32), 0)), g.qdq("x", 0.05, 3)
    left = g.qdq(a, 0.1, 0) if case == "output" else a
    y = g.node("Add", left, g.node("Erf", a) if case == "none" else b)
    y = g.qdq(y, 0.2, 0) if case == "one" else y
    program = to_program(load(save(tmp_path, g.model({"x": (1, 4, 9, 9)}, {y: "float32"}))).module, "float")
    assert [layer.note for layer in program.layers if layer.operator.kind == "primitive" and layer.operator.name == "add"] == [says]
