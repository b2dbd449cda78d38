"""The mean error of rounded weights."""

from __future__ import annotations

import numpy as np
import pytest
from tvm import relax

from nnc_tvm.quantize.bias_correction import mean_error
from nnc_tvm.quantize.contraction import contraction_of
from nnc_tvm.quantize.grid import weight_integers, weight_scales

SEED = 7


@pytest.mark.parametrize("groups", [1, 4, 8])
def test_convolution(groups: int) -> None:
    """Against the convolution of every sample, by definition, padding included."""
    rng = np.random.default_rng(SEED)
    x = rng.random((5, 8, 6, 7)).astype(np.float32)
    weight = rng.standard_normal((8, 8 // groups, 3, 3)).astype(np.float32)
    source = relax.Var("x", relax.TensorType(x.shape, "float32"))
    contraction = contraction_of(relax.op.nn.conv2d(source, relax.const(weight), strides=[2, 1], padding=[1, 0, 0, 2], groups=groups))
    assert contraction is not None
    rounded = np.rint(weight * 4) / 4
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 0), (0, 2)))
    difference, width = rounded.astype(np.float64) - weight, 8 // groups
    wanted = np.zeros(8)
    for o in range(8):
        channels = slice(o // width * width, o // width * width + width)
        rows = range(0, padded.shape[2] - 2, 2)
        wanted[o] = np.mean([(padded[:, channels, i:i + 3, j:j + 3] * difference[o]).sum((1, 2, 3)) for i in rows for j in range(padded.shape[3] - 2)])
    np.testing.assert_allclose(mean_error(contraction, rounded, x.mean(0, keepdims=True)), wanted, rtol=1e-4, atol=1e-6, err_msg=f"seed {SEED}")


def test_dense() -> None:
    rng = np.random.default_rng(SEED)
    x, weight = rng.random((3, 5, 6)), rng.standard_normal((6, 4)).astype(np.float32)
    contraction = contraction_of(relax.op.matmul(relax.Var("x", relax.TensorType(x.shape, "float32")), relax.const(weight)))
    assert contraction is not None
    scale = weight_scales(weight, 1, np.zeros(4), 1.0)
    rounded = weight_integers(weight, 1, scale) * scale
    np.testing.assert_allclose(mean_error(contraction, rounded, x), (x @ (rounded - weight)).mean((0, 1)), err_msg=f"seed {SEED}")
