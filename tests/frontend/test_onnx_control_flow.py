"""Control flow that is decided when compiling, against ONNX Runtime."""

from __future__ import annotations

import pathlib

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.frontend import load
from nnc_tvm.reference import run_program
from nnc_tvm.relay_passes.pipeline import to_program
from tests.frontend.onnx_builder import model_of, run_reference, save

pytest.importorskip("onnxruntime", reason="the expected values are ONNX Runtime's")

SEED = 41
SHAPE = [2, 3, 4]


def info(name: str, shape: list[int] | None = None, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, SHAPE if shape is None else shape)


def graph(nodes: list[onnx.NodeProto], inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto], **constants: np.ndarray) -> onnx.GraphProto:
    return helper.make_graph(nodes, "body", inputs, outputs, [numpy_helper.from_array(v, n) for n, v in constants.items()])


def branches(name: str, condition: str) -> onnx.NodeProto:
    """x * w where the condition holds, else relu(x); each reads x from outside."""
    then = graph([helper.make_node("Mul", ["x", "w"], ["t"])], [], [info("t")], w=np.array([1, -2, 3, 4], np.float32))
    return helper.make_node("If", [condition], [name], then_branch=then, else_branch=graph([helper.make_node("Relu", ["x"], ["e"])], [], [info("e")]))


def constant_if() -> onnx.ModelProto:
    return model_of([branches("a", "yes"), branches("b", "no"), helper.make_node("Add", ["a", "b"], ["y"])], {"x": SHAPE}, ["y"],
                    {"yes": np.array(True), "no": np.array([False])})


def shape_if() -> onnx.ModelProto:
    """As exporters write a squeeze: whether an extent is 1."""
    nodes = [helper.make_node("Shape", ["x"], ["shape"]), helper.make_node("Gather", ["shape", "zero"], ["first"]),
             helper.make_node("Equal", ["first", "two"], ["c"]), branches("y", "c")]
    return model_of(nodes, {"x": SHAPE}, ["y"], {"zero": np.int64(0), "two": np.int64(2)})


def loop(inner: bool = False) -> onnx.ModelProto:
    """x doubled and shifted by the step, three times, every step kept; `inner`: with a branch that reads what the step made."""
    flag, step = info("go", [], TensorProto.BOOL), info("i", [], TensorProto.INT64)
    nodes = [helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT), helper.make_node("Add", ["v", "v"], ["d"]),
             helper.make_node("Add", ["d", "f"], ["n"]), helper.make_node("Identity", ["go"], ["on"])]
    if inner:
        then = graph([helper.make_node("Neg", ["d"], ["t"])], [], [info("t")])
        nodes[2:3] = [helper.make_node("If", ["go"], ["n"], then_branch=then, else_branch=graph([helper.make_node("Relu", ["v"], ["e"])], [], [info("e")]))]
    body = graph([*nodes, helper.make_node("Identity", ["n"], ["kept"])], [step, flag, info("v")],
                 [info("on", [], TensorProto.BOOL), info("n"), info("kept")])
    return model_of([helper.make_node("Loop", ["count", "", "x"], ["last", "y"], "steps", body=body)], {"x": SHAPE}, ["last", "y"], {"count": np.int64(3)})


def scan(**directions: list[int]) -> onnx.ModelProto:
    """Sums along axis 1, kept along the last axis; the scanned input may be read, the output written, backwards."""
    part = [SHAPE[0], SHAPE[2]]
    body = graph([helper.make_node("Add", ["s", "p"], ["t"]), helper.make_node("Mul", ["t", "p"], ["o"])], [info("s", part), info("p", part)],
                 [info("t", part), info("o", part)])
    node = helper.make_node("Scan", ["zero", "x"], ["last", "y"], body=body, num_scan_inputs=1, scan_input_axes=[1], scan_output_axes=[2], **directions)
    return model_of([node], {"x": SHAPE}, ["last", "y"], {"zero": np.zeros(part, np.float32)})


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize("model", [
    pytest.param(constant_if(), id="if"), pytest.param(shape_if(), id="if of a shape"), pytest.param(loop(), id="loop"),
    pytest.param(loop(True), id="if within a loop"), pytest.param(scan(), id="scan"),
    pytest.param(scan(scan_input_directions=[1]), id="scan backwards"), pytest.param(scan(scan_output_directions=[1]), id="scan, kept backwards"),
])
def test_is_written_out(model: onnx.ModelProto, opset: int, tmp_path: pathlib.Path) -> None:
    print("seed", SEED)
    model = onnx.ModelProto.FromString(model.SerializeToString())
    model.opset_import[0].version = opset
    path = save(tmp_path, model)
    x = np.random.default_rng(SEED).standard_normal(SHAPE).astype(np.float32)
    program = to_program(load(path).module, "float")
    values = run_program(program, {"x": x})
    for name, wanted in zip(program.outputs, run_reference(path, {"x": x}), strict=True):
        np.testing.assert_allclose(values[name], wanted, rtol=1e-6)


def test_what_run_time_decides_is_named(tmp_path: pathlib.Path) -> None:
    model = loop()
    del model.graph.initializer[:]
    model.graph.input.append(info("count", [], TensorProto.INT64))
    with pytest.raises(Unsupported, match=r"node 'steps' \(Loop\): control flow that is decided at run time"):
        load(save(tmp_path, model))


def test_too_many_steps(tmp_path: pathlib.Path) -> None:
    model = loop()
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.int64(1 << 60), "count"))
    with pytest.raises(Unsupported, match=r"node 'steps' \(Loop\): 1152921504606846976 steps; up to 1024"):
        load(save(tmp_path, model))


def test_bodies_are_checked(tmp_path: pathlib.Path) -> None:
    """External data outside the folder, and NaN, within a branch."""
    model = constant_if()
    weight = next(a.g for a in model.graph.node[0].attribute if a.name == "then_branch").initializer[0]
    weight.CopyFrom(numpy_helper.from_array(np.full(4, np.nan, np.float32), "w"))
    with pytest.raises(InvalidModel, match="NaN"):
        load(save(tmp_path, model))
    onnx.external_data_helper.set_external_data(weight, "../w.bin")
    weight.ClearField("raw_data")
    with pytest.raises(InvalidModel, match="outside the model's folder"):
        load(save(tmp_path, model))
