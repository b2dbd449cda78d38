"""Extremes of infinities and of bools, where TVM's own loops begin with the largest finite number, or not at all."""

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
