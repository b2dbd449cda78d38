"""Packages of C source: made without any tool, strict C, clean under the sanitizers, the same integers as machine code."""

from __future__ import annotations

import pathlib
import subprocess

import numpy as np
import pytest

from nnc_tvm.compiler import compile_model
from nnc_tvm.errors import InvalidInput
from nnc_tvm.package.c_kernels import kernels_source
from nnc_tvm.package.toolchain import STRICT
from nnc_tvm.run import run_package
from nnc_tvm.schedules.operators import Conv2d, TensorType
from nnc_tvm.schedules.quantization import make_requantize
from nnc_tvm.schedules.rule import choose_default
from nnc_tvm.schedules.rules import weight_forms
from nnc_tvm.targets.registry import get_target

MODEL = pathlib.Path(__file__).parents[2] / "examples" / "digits" / "digits_int8.onnx"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("c") / "digits"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "")
        manifest = compile_model(MODEL, get_target("x86_cpu", emit="c"), folder, "digits")
    assert manifest.code_bytes is None and manifest.sources == ("src/digits.c", "src/kernels.c", "src/weights.c") and not manifest.libraries
    return folder


def test_same_integers_as_machine_code(package: pathlib.Path, tmp_path: pathlib.Path) -> None:
    compile_model(MODEL, get_target("x86_cpu"), tmp_path / "obj", "digits")
    images = {"image": np.random.default_rng(0).integers(0, 17, (20, 1, 8, 8)).astype(np.float32)}
    found, wanted = run_package(package, images), run_package(tmp_path / "obj", images)
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_strict_c_and_clean_under_the_sanitizers(package: pathlib.Path, tmp_path: pathlib.Path) -> None:
    files = [package / "example/main.c", *(package / "src").glob("*.c")]
    sanitizers = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    subprocess.run(["gcc", *STRICT, *sanitizers, f"-I{package}/include", *files, "-o", tmp_path / "example"], check=True)
    done = subprocess.run([tmp_path / "example"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_makefile_builds_it(package: pathlib.Path) -> None:
    done = subprocess.run(["make", "-C", package, "run"], capture_output=True, text=True)
    assert done.returncode == 0 and "logits" in done.stdout, done.stderr


def test_compiles_to_the_same_text_again(package: pathlib.Path, tmp_path: pathlib.Path) -> None:
    compile_model(MODEL, get_target("x86_cpu", emit="c"), tmp_path / "again", "digits")
    assert all((package / f).read_bytes() == (tmp_path / "again" / f).read_bytes() for f in ("src/kernels.c", "src/weights.c", "src/digits.c"))


def test_sparse_weights_stay_dense() -> None:
    weight = np.zeros((32, 1, 1, 64), np.int16)
    weight[:16, ..., :4] = 7
    epilogue = make_requantize("float", np.array([1e-3]), 0, -128, 127)
    operator = Conv2d((TensorType((1, 8, 8, 64), "int8"),), TensorType((1, 8, 8, 32), "int8"), weight, np.zeros(32, np.int32), epilogue)
    made = weight_forms.stages(operator, get_target("x86_cpu", emit="c"), choose_default)
    assert made is not None and "loops" in made.stages[-1].kernel
    assert kernels_source({"f": made.stages[-1].function}, get_target("x86_cpu").tvm_target(), "sparse")[0]


def test_not_for_the_npu() -> None:
    with pytest.raises(InvalidInput, match="--emit c"):
        get_target("npu", emit="c")
