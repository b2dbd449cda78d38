"""nnc-tvm compile --quantize."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

from nnc_tvm.cli.main import exit_code
from tests.frontend.onnx_builder import save
from tests.quantize.networks import NETWORKS, Network

SEED = 20261124


@pytest.fixture
def model(tmp_path: pathlib.Path) -> pathlib.Path:
    return save(tmp_path, NETWORKS["batch_norm"](SEED))


def compiled(model: pathlib.Path, *options: str) -> int:
    return exit_code(["compile", str(model), "--target", "x86_cpu", "-o", str(model.parent / "package"), *options])


def test_a_float_model_becomes_integers(model: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Calibrated from an .npz file; what int8 hurts most stays float on request."""
    samples = np.random.default_rng(SEED).standard_normal((16, 4, 8, 8)).astype(np.float32)
    np.savez(model.parent / "samples.npz", x=samples)
    assert compiled(model, "--quantize", "int8", "--calibration", str(model.parent / "samples.npz"), "--keep-float", "1", "--json") == 0
    output = capsys.readouterr()
    convolutions = {layer["inputs"][0]["dtype"]: layer["why"] for layer in json.loads(output.out)["layers"] if "conv2d" in layer["op"]}
    assert sorted(convolutions) == ["float32", "int8"] and "kept float: '" in output.err
    assert convolutions["float32"].startswith("kept float: ") and "dB on integers" in convolutions["float32"]


@pytest.mark.parametrize(("options", "message"), [
    (["--quantize", "int8"], "--quantize int8 needs --calibration DATA"),
    (["--quantize", "int4"], "--quantize int4 needs --calibration DATA"),
    (["--calibration", "samples.npz"], "only read with --quantize int8 or int4"),
    (["--quantize", "int8", "--calibration", "nowhere.npz"], "nowhere.npz: no such file"),
])
def test_one_line_for_what_is_missing(model: pathlib.Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert compiled(model, *options) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("nnc-tvm: error: ") and message in last
    assert not (model.parent / "package").exists()


def test_weights_of_four_bits(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The manifest names the form, and the package is smaller than of INT8, its instructions' own constants included."""
    n = Network([1, 16, 8, 8], SEED)
    wide = save(tmp_path, n.model(n.conv(n.node("Relu", n.conv("x", 16, 32)), 32, 16)))
    np.savez(tmp_path / "samples.npz", x=n.normal(16, 16, 8, 8))
    sizes = {}
    for scheme in ("int8", "int4"):
        assert compiled(wide, "--quantize", scheme, "--optimize", "size", "--calibration", str(tmp_path / "samples.npz"), "--json") == 0
        manifest = json.loads(capsys.readouterr().out)
        sizes[scheme] = manifest["weights_bytes"]
        assert ("int4" in {layer["form"] for layer in manifest["layers"]}) == (scheme == "int4")
    assert sizes["int4"] < 0.7 * sizes["int8"]
