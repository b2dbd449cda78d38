"""One-operator TFLite models through the passes: the integer graph, run by the oracle, equals LiteRT's reference kernels integer for integer."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from nnc_tvm.frontend import load
from nnc_tvm.reference import run_program
from nnc_tvm.relay_passes.pipeline import to_program
from nnc_tvm.relay_passes.program import Program
from tests.frontend.test_tflite_import import CASES, Case, build
from tests.tflite_builder import run_reference

pytest.importorskip("ai_edge_litert", reason="LiteRT is the reference")


def quantized(case: Case) -> list[str]:
    return [d for d in case.dtypes if d != "float32"]


@pytest.mark.parametrize(("case", "dtype"), [pytest.param(c, d, id=f"{c.name}, {d}") for c in CASES for d in quantized(c)])
def test_operator(case: Case, dtype: str, tmp_path: pathlib.Path) -> None:
    data, inputs = build(case, dtype)
    (tmp_path / "model.tflite").write_bytes(data)
    source = load(tmp_path / "model.tflite")
    program = to_program(source.module, "fixed")
    expected = run_reference(data, inputs, "BUILTIN_WITHOUT_DEFAULT_DELEGATES" if case.function else "BUILTIN_REF")
    values = run_program(program, inputs)
    for name, tensor in zip(program.outputs, source.outputs, strict=True):
        np.testing.assert_array_equal(values[name].astype(int), expected[tensor.name].astype(int))
        print([type(l.operator).__name__ for l in program.layers])
