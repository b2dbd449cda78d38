"""Whole programs: every value of real int8 models equals LiteRT's reference kernels; wrong inputs are refused."""

from __future__ import annotations

import pathlib
from dataclasses import replace

import numpy as np
import pytest

from nnc_tvm.errors import InvalidInput
from nnc_tvm.reference import run_program
from nnc_tvm.relay_passes.program import Layer, Program, Value
from nnc_tvm.schedules.operators import LinearCombination, TensorType
from nnc_tvm.schedules.quantization import make_requantize
from tests.tflite_builder import run_reference

MODELS = pathlib.Path(__file__).parents[3] / "shared" / "models"
INT8_MODELS = ["mlperf_tiny/kws_ref_model.tflite", "mlperf_tiny/pretrainedResnet_quant.tflite", "tinymaix/mnist_valid_q.tflite",
               "tinymaix/mnist_resnet_q.tflite"]
needs_models = pytest.mark.skipif(not MODELS.exists(), reason="../shared/models is absent")


@needs_models
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", INT8_MODELS)
def test_every_value_equals_litert(name: str, seed: int) -> None:
    pytest.importorskip("ai_edge_litert")
    from tests.reference.tflite_program import read_program

    program = read_program(MODELS / name)
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    inputs = {i: rng.integers(-128, 128, program.values[i].type.shape).astype(np.int8) for i in program.inputs}
    expected, actual = run_reference((MODELS / name).read_bytes(), inputs), run_program(program, inputs)
    for layer in program.layers:
        np.testing.assert_array_equal(actual[layer.output], expected[layer.output], layer.name)


@needs_models
def test_keyword_spotting_outputs() -> None:
    from tests.reference.tflite_program import read_program

    program = read_program(MODELS / INT8_MODELS[0])
    with np.load(MODELS / "mlperf_tiny" / "kws01_eval_1000.npz") as archive:
        samples, expected = archive["x_int8"][:40], archive["ref_out_int8_builtin_ref"][:40]
    shape = program.values[program.inputs[0]].type.shape
    actual = [run_program(program, {program.inputs[0]: x.reshape(shape)})[program.outputs[0]].reshape(-1) for x in samples]
    np.testing.assert_array_equal(actual, expected.reshape(len(expected), -1))


def _sum() -> Program:
    """y = x + c on one scale."""
    kind = TensorType((2, 3), "int8")
    operator = LinearCombination((kind, kind), kind, (0, 0), (1, 1), (0, 0), 0, make_requantize("float", 1.0, 0))
    return Program({n: Value(n, kind, 1.0, 0) for n in "xcy"}, ("x",), ("y",), (Layer("add", operator, ("x", "c"), "y"),), "float",
                   {"c": np.full((2, 3), 100, np.int8)})


def test_constants_are_inputs_of_layers_and_every_value_is_kept() -> None:
    x = np.arange(6, dtype=np.int8).reshape(2, 3) * np.int8(10)
    values = run_program(_sum(), {"x": x})
    assert set(values) == {"x", "c", "y"}
    np.testing.assert_array_equal(values["y"], [[100, 110, 120], [127, 127, 127]])


@pytest.mark.parametrize(("inputs", "message"), [
    ({}, "input 'x' is missing"), ({"x": np.zeros((3, 2), np.int8)}, r"int8\[3, 2\]; the model reads int8\[2, 3\]"),
    ({"x": np.zeros((2, 3), np.uint8)}, r"uint8\[2, 3\]"),
])
def test_wrong_inputs_are_refused(inputs: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        run_program(_sum(), inputs)


def test_an_accumulator_beyond_int32_is_an_error() -> None:
    program = _sum()
    operator = program.layers[0].operator
    assert isinstance(operator, LinearCombination)
    wild = replace(program, layers=(replace(program.layers[0], operator=replace(operator, factors=(1 << 26, 1 << 26))),))
    with pytest.raises(OverflowError, match="int32"):
        run_program(wild, {"x": np.full((2, 3), 127, np.int8)})
