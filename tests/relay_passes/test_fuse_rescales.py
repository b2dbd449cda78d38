"""Which rescalings become part of the contraction whose sums they read."""

from __future__ import annotations

import numpy as np
from tvm import relax

from nnc_tvm.reference import run_program
from nnc_tvm.relay_passes.dynamic_calls import dequantized, quantized, scale_and_zero
from nnc_tvm.relay_passes.fuse_rescales import fuse_rescales
from nnc_tvm.relay_passes.pipeline import to_program
from nnc_tvm.relay_passes.program import Program
from nnc_tvm.targets.registry import get_target
from tests.relay_passes.ir import Builder, Expr, module_of

op = relax.op
TARGET = get_target("x86_cpu", "x86-64-v3")


def dense(weight: np.ndarray, rows: int, parameters: int) -> Program:
    def body(b: Builder, x: Expr) -> Expr:
        scale, zero = scale_and_zero(b, x, parameters)
        q = dequantized(b, quantized(b, x, scale, zero), scale, zero)
        w = b(op.dequantize(relax.const(weight), relax.const(np.float32(0.02)), relax.const(np.int32(0)), axis=1, out_dtype="float32"))
        return b(op.nn.relu(b(op.matmul(q, w))))

    return to_program(module_of({"x": ((rows, len(weight)), "float32")}, body), "float")


def kinds(program: Program) -> list[str]:
    return [layer.operator.kind for layer in program.layers]


def test_fused() -> None:
    """The layer has the rescaling's name and reads what it read; the values are the same, and no int32 is left."""
    rng = np.random.default_rng(3)
    for parameters in (1, 6):
        program = dense(rng.integers(-127, 128, (24, 16)).astype(np.int8), 6, parameters)
        made = fuse_rescales(program, TARGET)
        assert kinds(program) == ["dynamic_parameters", "dynamic_quantize", "dense", "dynamic_rescale"]
        assert kinds(made) == ["dynamic_parameters", "dynamic_quantize", "dense"] and made.layers[-1].name == program.layers[-1].name
        assert {value.type.dtype for value in made.values.values()} == {"float32", "int8"}
        x = rng.standard_normal((6, 24)).astype(np.float32)
        np.testing.assert_array_equal(*(run_program(p, {"x": x})[p.outputs[0]] for p in (program, made)))


def test_left_alone() -> None:
    """Rows with parameters of their own whose weights would lose their four bits; sums that are a result, too."""
    program = dense(np.random.default_rng(4).integers(-7, 8, (256, 256)).astype(np.int8), 4, 4)
    assert kinds(fuse_rescales(program, TARGET))[-1] == "dynamic_rescale"
    program = dense(np.full((24, 16), 100, np.int8), 2, 1)
    sums = next(layer.output for layer in program.layers if layer.operator.kind == "dense")
    shown = Program(program.values, program.inputs, (*program.outputs, sums), program.layers, program.requantize, program.constants)
    assert kinds(fuse_rescales(shown, TARGET))[-1] == "dynamic_rescale"
