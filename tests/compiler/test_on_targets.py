"""From file to predictions on every CPU: what packages compute equals the oracle, integer for integer. Operators side by side share a compilation."""

from __future__ import annotations

import pathlib
import shutil

import numpy as np
import pytest

from nnc_tvm.compiler import compile_model
from nnc_tvm.frontend import load
from nnc_tvm.reference import run_program
from nnc_tvm.relay_passes.pipeline import to_program
from nnc_tvm.run import run_package
from nnc_tvm.targets.base import Target
from nnc_tvm.targets.registry import get_target
from tests.compiler.merge import Inputs, merge_onnx, merge_tflite
from tests.compiler.onnx_networks import NETWORKS, SEED
from tests.compiler.onnx_qdq import QdqGraph
from tests.compiler.tflite_cases import OPERATORS
from tests.frontend.onnx_builder import save
from tests.frontend.test_onnx_import import CASES
from tests.frontend.test_onnx_import import build as build_float
from tests.frontend.test_tflite_import import build

CPUS = [("x86_cpu", None), ("arm_cpu", "cortex-a53"), ("arm_cpu", "cortex-a76")]
# what differs for uint8: weights with zero points, the rounding of means, scales brought together by a table
UNSIGNED = ("conv", "depthwise", "dense", "average pool", "concatenation of scales", "resize bilinear", "mean", "softmax", "hard swish", "pad")
# networks on integers alone but for their ends
INTEGER = ("residual", "attention", "input_as_output", "constant_output", "output_twice", "input_twice", "batch_of_three", "signal", "flatten_to_gemm",
           "padded_convolution", "channel_shuffle", "squeeze_and_excite", "upsampled", "mean_without_dimensions", "matmul_of_batched_weights",
           "matmul_with_float_bias", "float_outputs", "float_gemm_output", "intermediate_outputs")


def cpu(kind: str, mcpu: str | None) -> Target:
    if kind == "arm_cpu" and (shutil.which("aarch64-linux-gnu-gcc") is None or shutil.which("qemu-aarch64") is None):
        pytest.skip("needs aarch64-linux-gnu-gcc and qemu-aarch64")
    return get_target(kind, mcpu)


@pytest.fixture(params=CPUS, ids=lambda c: c[1] or c[0])
def target(request: pytest.FixtureRequest) -> Target:
    return cpu(*request.param)


def check(path: pathlib.Path, inputs: Inputs, target: Target) -> None:
    """Integers are equal, floats to 1e-5 of the tensor's largest value."""
    print("seed", SEED)
    source = load(path)
    program = to_program(source.module, source.default_requantize)
    expected = run_program(program, inputs)
    compile_model(path, target, path.parent / "package")
    outputs = run_package(path.parent / "package", inputs)
    assert list(outputs) == [t.name for t in source.outputs]
    for (name, found), value in zip(outputs.items(), program.outputs, strict=True):
        wanted = expected[value].reshape(found.shape)
        if found.dtype == np.float32:
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * max(np.abs(wanted).max(), 1e-3), err_msg=name)
        else:
            np.testing.assert_array_equal(found, wanted, err_msg=name)


def write(folder: pathlib.Path, data: bytes) -> pathlib.Path:
    path = folder / "operators.tflite"
    path.write_bytes(data)
    return path


def test_tflite_operators(target: Target, tmp_path: pathlib.Path) -> None:
    pytest.importorskip("ai_edge_litert")
    data, inputs = merge_tflite([build(case, dtype) for case, dtype in OPERATORS if dtype == "int8"])
    check(write(tmp_path, data), inputs, target)


def test_unsigned_tflite_operators(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("ai_edge_litert")
    data, inputs = merge_tflite([build(case, dtype) for case, dtype in OPERATORS if dtype == "uint8" and case.name in UNSIGNED])
    check(write(tmp_path, data), inputs, cpu("arm_cpu", "cortex-a76"))


def test_onnx_networks(target: Target, tmp_path: pathlib.Path) -> None:
    rng, parts = np.random.default_rng(SEED), []
    for name in INTEGER:
        g = QdqGraph("uint8" if len(parts) % 2 else "int8")
        shapes, outputs = NETWORKS[name](g)
        parts.append((g.model(shapes, outputs), {n: rng.standard_normal(s).astype(np.float32) * 3 for n, s in shapes.items()}))
    model, inputs = merge_onnx(parts)
    check(save(tmp_path, model), inputs, target)


def test_float_onnx_operators(tmp_path: pathlib.Path) -> None:
    """Those that are TVM's loops or float kernels of ours."""
    rng = np.random.default_rng(SEED)
    cases = [c for c in CASES if c.opset == 17 and not c.domain]
    model, inputs = merge_onnx([(build_float(c), {"x": rng.standard_normal(c.shape).astype(np.float32) * 3}) for c in cases])
    check(save(tmp_path, model), inputs, cpu("arm_cpu", "cortex-a76"))
