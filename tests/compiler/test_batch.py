"""A dynamic batch: 1 by default, another number on demand, the same results per image."""

from __future__ import annotations

import pathlib

import numpy as np
import onnx
import pytest

from nnc_tvm.compiler import compile_model
from nnc_tvm.errors import Unsupported
from nnc_tvm.frontend import load
from nnc_tvm.run import run_package
from nnc_tvm.targets.registry import get_target

DIGITS = pathlib.Path(__file__).resolve().parents[2] / "examples" / "digits"


@pytest.fixture
def dynamic(tmp_path: pathlib.Path) -> pathlib.Path:
    """The digits network with an open batch."""
    model = onnx.load(DIGITS / "digits_int8.onnx")
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    del model.graph.value_info[:]
    onnx.save(model, tmp_path / "dynamic.onnx")
    return tmp_path / "dynamic.onnx"


def test_batch_of_three(dynamic: pathlib.Path, tmp_path: pathlib.Path) -> None:
    images = np.random.default_rng(5).random((3, 1, 8, 8)).astype(np.float32)
    single, triple = tmp_path / "single", tmp_path / "triple"
    compile_model(dynamic, get_target("x86_cpu"), single)
    manifest = compile_model(dynamic, get_target("x86_cpu"), triple, batch=3)
    assert manifest.inputs[0].shape == (3, 1, 8, 8)
    one_by_one = run_package(single, {"image": images})["logits"]
    together = run_package(triple, {"image": images})["logits"]
    assert np.array_equal(one_by_one.reshape(3, 10), together.reshape(3, 10)), "seed 5"


def test_refused() -> None:
    with pytest.raises(Unsupported, match="the input 'image' has the fixed batch 1, not 2"):
        load(DIGITS / "digits_int8.onnx", batch=2)
