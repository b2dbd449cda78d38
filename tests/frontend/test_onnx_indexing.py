"""Indices that are inputs: as ONNX's reference has it where they lie within, in bounds where they do not. The largest few, with equals."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from nnc_tvm.frontend import load
from nnc_tvm.reference import run_program
from nnc_tvm.relay_passes.pipeline import to_program
from tests.frontend.onnx_builder import save
from tests.kernels.cases import random_generator

Arrays = dict[str, np.ndarray]


def model(op: str, inputs: Arrays, constants: Arrays, outputs: int = 1, **attributes: Any) -> onnx.ModelProto:
    """The node `op` on all of them in order."""
    node = helper.make_node(op, [*inputs, *constants], [f"y{i}" for i in range(outputs)], **attributes)
    values = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in inputs.items()]
    results = [helper.make_tensor_value_info(f"y{i}", 0, None) for i in range(outputs)]
    tensors = [onnx.numpy_helper.from_array(a, n) for n, a in constants.items()]
    made = helper.make_model(helper.make_graph([node], op, values, results, tensors), opset_imports=[helper.make_opsetid("", 18)])
    return onnx.shape_inference.infer_shapes(made)


def results_of(path: pathlib.Path, inputs: Arrays) -> list[np.ndarray]:
    program = to_program(load(path).module, "float")
    values = run_program(program, inputs)
    return [values[name] for name in program.outputs]


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize(("op", "indices", "attributes"), [
    ("Gather", (2, 3), {"axis": 1}), ("GatherElements", (4, 3), {"axis": 1}), ("GatherND", (3, 1), {}), ("ScatterElements", (4, 3), {"axis": 1}),
    ("ScatterElements", (2, 3), {"axis": 1, "reduction": "min"}), ("ScatterND", (3, 1), {}), ("ScatterND", (3, 1), {"reduction": "add"})])
def test_indices_of_run_time(op: str, indices: tuple[int, ...], attributes: dict[str, Any], dtype: str, tmp_path: pathlib.Path) -> None:
    if dtype == "int32" and op in ("GatherND", "ScatterND"):
        dtype = "int64"  # ONNX allows no other
    rng = random_generator()
    axis = attributes.get("axis", 0)
    x, extent = rng.standard_normal((4, 5)).astype(np.float32), (4, 5)[axis]
    chosen = np.stack([rng.permutation(extent)[: indices[1]] for _ in range(indices[0])]) if axis else rng.permutation(extent)[:3].reshape(3, 1)
    chosen = np.where(rng.random(chosen.shape) < 0.5, chosen, chosen - extent).astype(dtype)
    inputs = {"x": x, "i": chosen}
    if op.startswith("Scatter"):
        inputs["u"] = rng.standard_normal(indices if axis else (3, 5)).astype(np.float32)
    made = model(op, inputs, {}, **attributes)
    path = save(tmp_path, made)
    np.testing.assert_allclose(results_of(path, inputs)[0], ReferenceEvaluator(made).run(None, inputs)[0], rtol=1e-6)
    for beyond in (extent, -extent - 1, np.iinfo(dtype).max, np.iinfo(dtype).min):
        found = results_of(path, inputs | {"i": np.full(indices, beyond, dtype)})[0]
        nearest = results_of(path, inputs | {"i": np.full(indices, extent - 1 if beyond > 0 else 0, dtype)})[0]
        np.testing.assert_array_equal(found, nearest)


@pytest.mark.parametrize("dtype", ["float32", "int8", "uint64"])
@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("axis", [0, -1])
def test_the_largest_few(dtype: str, largest: int, axis: int, tmp_path: pathlib.Path) -> None:
    rng = random_generator()
    x = rng.integers(0, 6, (6, 7)).astype(dtype)  # with equals, of which the first comes first
    made = model("TopK", {"x": x}, {"k": np.array([4], np.int64)}, 2, axis=axis, largest=largest)
    order = np.argsort(-x.astype(np.int64) if largest else x, axis=axis, kind="stable").take(range(4), axis)
    values, places = results_of(save(tmp_path, made), {"x": x})
    np.testing.assert_array_equal(places, order)
    np.testing.assert_array_equal(values, np.take_along_axis(x, order, axis))
