"""Rounding for the output: closer than nearest on correlated inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tvm import relax

from nnc_tvm.quantize.adaptive_rounding import Patches, adaptive_integers
from nnc_tvm.quantize.contraction import Contraction, contraction_of
from nnc_tvm.quantize.grid import weight_integers, weight_scales
from nnc_tvm.reference import evaluate
from nnc_tvm.schedules.operators import Conv2d, TensorType
from nnc_tvm.schedules.quantization import FloatClamp

SEED = 13


def convolution(weight: np.ndarray, shape: tuple[int, ...], **attributes: Any) -> Contraction:
    found = contraction_of(relax.op.nn.conv2d(relax.Var("x", relax.TensorType(shape, "float32")), relax.const(weight), **attributes))
    assert found is not None
    return found


def test_patches_are_what_a_convolution_multiplies() -> None:
    """Rows times weights are the convolution's outputs, whatever the padding, stride, dilation and groups."""
    rng = np.random.default_rng(SEED)
    x, weight = rng.standard_normal((2, 1, 4, 7, 6)).astype(np.float32), rng.standard_normal((6, 2, 3, 2)).astype(np.float32)
    c = convolution(weight, x.shape[1:], strides=[2, 1], padding=[1, 0, 0, 2], dilation=[1, 2], groups=2)
    rows = Patches(c).rows(x)
    products = np.einsum("gnk,gok->ngo", rows, c.by_inputs(c.weight).transpose(0, 2, 1, 3).reshape(2, 3, -1)).reshape(-1, 6)
    images = x[:, 0].transpose(0, 2, 3, 1)
    operator = Conv2d((TensorType(images.shape, "float32"),), TensorType((2, 3, 6, 6), "float32"), weight.transpose(0, 2, 3, 1), np.zeros(6, np.float32),
                      FloatClamp(), 0, (2, 1), (1, 0, 0, 2), (1, 2), 2)
    np.testing.assert_allclose(products, evaluate(operator, images).reshape(-1, 6), rtol=1e-4, atol=1e-5, err_msg=f"seed {SEED}")


@pytest.mark.parametrize("groups", [1, 8])
def test_convolution_outputs_are_closer(groups: int) -> None:
    rng = np.random.default_rng(SEED)
    x = np.cumsum(np.cumsum(rng.standard_normal((4, 1, 8, 9, 9)), 3), 4).astype(np.float32)  # neighbours are alike, as in pictures
    c = convolution(rng.standard_normal((8, 8 // groups, 3, 3)).astype(np.float32), x.shape[1:], padding=[1, 1, 1, 1], groups=groups)
    patches = Patches(c)
    patches.update(x)
    scale = weight_scales(c.weight, 0, np.zeros(8), 1.0, 7)
    rows = patches.rows(x)

    def loss(integers: np.ndarray) -> float:
        difference = c.by_inputs(integers * c.along_outputs(scale) - c.weight).transpose(0, 2, 1, 3).reshape(groups, 8 // groups, -1)
        return float(np.square(np.einsum("gnk,gok->gno", rows, difference)).sum())

    adaptive = adaptive_integers(c, scale, patches, 7)
    assert adaptive.shape == c.weight.shape and np.abs(adaptive).max() <= 7
    assert loss(adaptive) < 0.5 * loss(weight_integers(c.weight, 0, scale, 7)), f"seed {SEED}"


def test_inputs_that_never_vary() -> None:
    c = convolution(np.ones((2, 2, 1, 1), np.float32), (1, 2, 3, 3))
    patches = Patches(c)
    patches.update(np.zeros((1, 1, 2, 3, 3), np.float32))
    np.testing.assert_array_equal(adaptive_integers(c, np.full(2, 0.01, np.float32), patches), np.full((2, 2, 1, 1), 100))
