"""Sparse constants of ONNX models: flat and by coordinates, as initializers and in Constant nodes; and what is wrong with them."""

from __future__ import annotations

import pathlib

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from nnc_tvm.errors import InvalidModel
from nnc_tvm.frontend import load
from nnc_tvm.reference import run_program
from nnc_tvm.relay_passes.pipeline import to_program
from tests.frontend.onnx_builder import model_of, save

SEED = 19


def sparse_of(values: object, indices: object, shape: list[int], index_dtype: str = "int64") -> onnx.SparseTensorProto:
    return helper.make_sparse_tensor(numpy_helper.from_array(np.asarray(values, np.float32), "w"),
                                     numpy_helper.from_array(np.asarray(indices, index_dtype), "w_indices"), shape)


def matmul(sparse: onnx.SparseTensorProto, as_node: bool = False) -> onnx.ModelProto:
    """x @ w with w stored sparse."""
    constants = [helper.make_node("Constant", [], ["w"], sparse_value=sparse)] if as_node else []
    model = model_of([*constants, helper.make_node("MatMul", ["x", "w"], ["y"], "dense")], {"x": (2, 4)}, ["y"])
    if not as_node:
        model.graph.sparse_initializer.append(sparse)
    return model


@pytest.mark.parametrize("as_node", [False, True])
@pytest.mark.parametrize("flat", [False, True])
def test_is_read(flat: bool, as_node: bool, tmp_path: pathlib.Path) -> None:
    print("seed", SEED)
    rng = np.random.default_rng(SEED)
    dense = (rng.standard_normal((4, 5)) * (rng.random((4, 5)) < 0.3)).astype(np.float32)
    places = np.argwhere(dense)
    indices = np.ravel_multi_index(tuple(places.T), dense.shape) if flat else places
    path = save(tmp_path, matmul(sparse_of(dense[dense != 0], indices, [4, 5]), as_node))
    program = to_program(load(path).module, "float")
    x = rng.standard_normal((2, 4)).astype(np.float32)
    np.testing.assert_allclose(run_program(program, {"x": x})[program.outputs[0]], x @ dense, rtol=1e-5, atol=1e-6)
    assert program.layers[0].operator.kind == "dense"


def test_in_a_file_of_its_own(tmp_path: pathlib.Path) -> None:
    """External values are read, and only from the model's folder."""
    sparse = sparse_of([1.5, -2.0], [3, 9], [4, 5])
    (tmp_path / "w.bin").write_bytes(sparse.values.raw_data)
    model = matmul(sparse)
    values = model.graph.sparse_initializer[0].values
    onnx.external_data_helper.set_external_data(values, "w.bin")
    values.ClearField("raw_data")
    program = to_program(load(save(tmp_path, model)).module, "float")
    found = run_program(program, {"x": np.eye(2, 4, dtype=np.float32)})[program.outputs[0]]
    np.testing.assert_array_equal(found, [[0, 0, 0, 1.5, 0], [0, 0, 0, 0, -2]])
    values.external_data[0].value = "../w.bin"
    with pytest.raises(InvalidModel, match="outside the model's folder"):
        load(save(tmp_path, model))


@pytest.mark.parametrize(("sparse", "says"), [
    (sparse_of([1, 2], [3, 20], [4, 5]), r"the index \[20\] lies outside \[20\]"),
    (sparse_of([1, 2], [-1, 3], [4, 5]), r"the index \[-1\] lies outside"),
    (sparse_of([1, 2], [[0, 1], [2, 5]], [4, 5]), r"the index \[2, 5\] lies outside \[4, 5\]"),
    (sparse_of([1, 2], [7, 3], [4, 5]), r"the index \[3\] follows \[7\]; indices rise"),
    (sparse_of([1, 2], [[1, 1], [1, 1]], [4, 5]), r"the index \[1, 1\] follows \[1, 1\]"),
    (sparse_of([1, 2, 3], [1, 2], [4, 5]), r"\(3,\) values with int64\[2\] indices"),
    (sparse_of([1, 2], [[1, 2, 3], [1, 2, 4]], [4, 5]), r"int64\[2, 3\] indices"),
    (sparse_of([1, 2], [1, 2], [4, 5], "int32"), "with int32"),
    (sparse_of([1, 2], [1, 2], [4, -5]), "extents"),
    (sparse_of([1, 2], [1, 2], [1 << 20, 1 << 20]), "extents"),
])
def test_what_does_not_fit_is_named(sparse: onnx.SparseTensorProto, says: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(InvalidModel, match=says) as error:
        load(save(tmp_path, matmul(sparse)))
    assert "\n" not in str(error.value) and "'w'" in str(error.value)


def test_values_cut_off(tmp_path: pathlib.Path) -> None:
    model = matmul(sparse_of([1, 2], [1, 2], [4, 5]))
    model.graph.sparse_initializer[0].values.raw_data = b"\0" * 5
    with pytest.raises(InvalidModel, match="'w'.*cannot be read"):
        load(save(tmp_path, model))
