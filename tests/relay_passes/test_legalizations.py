"""Extremes of infinities and of bools, where TVM's own loops begin with the largest finite number, or not at all; look-ups outside of a tensor."""

from __future__ import annotations

import numpy as np
import pytest
from tvm import relax

from nnc_tvm.reference import run_program
from nnc_tvm.relay_passes.lower_composites import lower_composites

INF = np.inf
SAMPLES = {
    "float32": np.array([[-INF, -INF], [INF, INF], [1, -INF], [2, 3]], np.float32),
    "int32": np.array([[-(2**31), -(2**31)], [2**31 - 1, 2**31 - 1], [1, -5], [2, 3]], np.int32),
    "bool": np.array([[False, False], [True, True], [True, False], [False, True]]),
}


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("dtype", SAMPLES)
def test_extremes(dtype: str, keepdims: bool) -> None:
    x = SAMPLES[dtype]
    for function, reduce in ((relax.op.max, np.max), (relax.op.min, np.min)):
        for axes in ([1], [0], None):
            bb = relax.BlockBuilder()
            parameter = relax.Var("x", relax.TensorType(x.shape, dtype))
            with bb.function("main", [parameter]):
                with bb.dataflow():
                    y = bb.emit_output(function(parameter, axes, keepdims))
                bb.emit_func_output(y)
            program = lower_composites(bb.finalize(), "float")
            found = run_program(program, {"x": x})[program.outputs[0]]
            wanted = reduce(x, axis=None if axes is None else tuple(axes), keepdims=keepdims)
            assert found.dtype == wanted.dtype and np.array_equal(found, wanted), (function, axes)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_look_ups_stay_within(axis: int, dtype: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Indices outside become the nearest within; TVM has nothing to say about it."""
    table = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    indices = np.array([[0, 2, -1], [100, 1, -(2**31)]], dtype)
    bb = relax.BlockBuilder()
    x, i = relax.Var("x", relax.TensorType(table.shape, "float32")), relax.Var("i", relax.TensorType(indices.shape, dtype))
    with bb.function("main", [x, i]):
        with bb.dataflow():
            y = bb.emit_output(relax.op.take(x, i, axis=axis))
        bb.emit_func_output(y)
    program = lower_composites(bb.finalize(), "float")
    found = run_program(program, {"x": table, "i": indices})[program.outputs[0]]
    np.testing.assert_array_equal(found, np.take(table, indices, axis=axis, mode="clip"))
    assert not capfd.readouterr().err
