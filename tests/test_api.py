"""The verbs of `import nnc_tvm`."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import nnc_tvm
from nnc_tvm.api import compile as compile_verb
from nnc_tvm.errors import InvalidInput
from tests.frontend.onnx_builder import model_of, save

SEED = 23


def test_importing_loads_nothing() -> None:
    script = "import sys, nnc_tvm\nassert not {'tvm', 'numpy', 'onnx', 'torch'} & set(sys.modules)\nassert set(nnc_tvm.VERBS) <= set(dir(nnc_tvm))"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_verbs_in_turn(tmp_path: pathlib.Path) -> None:
    import onnx

    print("seed", SEED)
    rng = np.random.default_rng(SEED)
    node = onnx.helper.make_node("Gemm", ["x", "w", "b"], ["y"])
    constants = {"w": rng.standard_normal((8, 5)).astype(np.float32), "b": rng.standard_normal(5).astype(np.float32)}
    model = save(tmp_path, model_of([node], {"x": (1, 8)}, ["y"], constants), "net.onnx")
    x = rng.standard_normal((6, 8)).astype(np.float32)
    samples = [{"x": row[None]} for row in x]
    assert [tensor.name for tensor in nnc_tvm.load(model).inputs] == ["x"]
    for calibration, floor in ((None, 100), (samples, 20)):
        package = nnc_tvm.compile(str(model), target="x86_cpu", output=tmp_path / "net", calibration=calibration)
        assert package.folder == tmp_path / "net" and package.manifest.inputs[0].name == "x"
        y = nnc_tvm.run(package, {"x": x})["y"]
        np.testing.assert_allclose(y, x @ constants["w"] + constants["b"], atol=0.5)
        found = nnc_tvm.verify(package, model, {"x": x})
        assert found.samples == 6 and (found.exact or (found.outputs[0].sqnr_db or 0) > floor)
    assert nnc_tvm.quantize(nnc_tvm.load(model), samples).outputs[0].name == "y"


def test_poor_samples_are_warned_of(tmp_path: pathlib.Path) -> None:
    import onnx

    model = save(tmp_path, model_of([onnx.helper.make_node("Relu", ["x"], ["y"])], {"x": (1, 8)}, ["y"], {}), "net.onnx")
    with pytest.warns(UserWarning, match="'x'"):
        nnc_tvm.quantize(nnc_tvm.load(model), [{"x": np.ones((1, 8), np.float32)}] * 4)


def test_things_that_are_no_models(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InvalidInput, match=r"a list is not a model.*torch.export.export"):
        compile_verb([1, 2], output=tmp_path / "p")
    with pytest.raises(InvalidInput, match="needs calibration"):
        compile_verb("m.onnx", output=tmp_path / "p", quantize=nnc_tvm.quantize.QuantizeOptions())
    with pytest.raises(AttributeError, match="no attribute 'transmogrify'"):
        nnc_tvm.transmogrify  # noqa: B018


@pytest.mark.parametrize(("options", "message"), [
    ({"optimize": "max"}, "optimize='max': not one of speed, balanced, size"),
    ({"emit": "wasm"}, "emit='wasm': not one of obj, c"),
    ({"requantize": "x"}, "requantize='x': not one of auto, fixed, float"),
    ({"threads": "2"}, "threads='2': a whole number"),
])
def test_options_that_do_not_do(options: dict[str, Any], message: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(InvalidInput, match=message):
        nnc_tvm.compile("nowhere.onnx", output=tmp_path / "p", **options)


def test_inputs_have_names() -> None:
    with pytest.raises(InvalidInput, match="inputs are a list; give arrays by input name"):
        nnc_tvm.run("nowhere", [[1.0]])
