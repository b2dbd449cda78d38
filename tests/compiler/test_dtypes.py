"""Tensors of every dtype of C99, as packages of machine code and of C source: the same as NumPy."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
from onnx import helper

from nnc_tvm.compiler import compile_model
from nnc_tvm.run import run_package
from nnc_tvm.targets.base import Emit
from nnc_tvm.targets.registry import get_target
from tests.frontend.onnx_builder import save
from tests.kernels.cases import random_generator

WIDE = ("int16", "uint16", "int32", "uint32", "int64", "uint64", "float64")


@pytest.mark.parametrize("emit", ["obj", "c"])
def test_arithmetic_of_every_dtype(emit: Emit, tmp_path: pathlib.Path) -> None:
    """Sums and products wrap around; the constants are the ends of the dtype's range."""
    rng = random_generator()
    nodes, inputs, outputs, constants, samples, wanted = [], [], [], [], {}, {}
    for dtype in WIDE:
        kind, real = helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), dtype == "float64"
        limits = np.finfo(dtype) if real else np.iinfo(dtype)
        c = np.array([limits.max, limits.min, 3, 0.1 if real else 5], dtype)
        x = rng.standard_normal((3, 4)) if real else rng.integers(limits.min, limits.max, (3, 4), dtype)
        inputs.append(helper.make_tensor_value_info(f"x_{dtype}", kind, (3, 4)))
        constants.append(helper.make_tensor(f"c_{dtype}", kind, (4,), c.tobytes(), raw=True))
        with np.errstate(all="ignore"):
            results = {"Add": x + c, "Mul": x * c, "Max": np.maximum(x, c), "Cast": x.astype(np.float32)}
        if real:
            results |= {"Exp": np.exp(x), "Floor": np.floor(x)}
        for op, y in results.items():
            name = f"{op}_{dtype}"
            read = [f"x_{dtype}", f"c_{dtype}"] if op in ("Add", "Mul", "Max") else [f"x_{dtype}"]
            nodes.append(helper.make_node(op, read, [name], **({"to": 1} if op == "Cast" else {})))
            outputs.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(y.dtype), (3, 4)))
            wanted[name] = y
        samples[f"x_{dtype}"] = x
    model = helper.make_model(helper.make_graph(nodes, "dtypes", inputs, outputs, constants), opset_imports=[helper.make_opsetid("", 17)])
    compile_model(save(tmp_path, model), get_target("x86_cpu", emit=emit), tmp_path / "package")
    found = run_package(tmp_path / "package", samples)
    for name, y in wanted.items():
        assert found[name].dtype == y.dtype, name
        if y.dtype.kind == "f":
            np.testing.assert_allclose(found[name], y, rtol=1e-15 if y.dtype == np.float64 else 1e-7, err_msg=name)
        else:
            np.testing.assert_array_equal(found[name], y, err_msg=name)
