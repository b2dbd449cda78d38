"""What all operators say about themselves."""

from __future__ import annotations

import numpy as np
import pytest

from nnc_tvm.schedules.operators import AveragePool2d, Conv2d, Dense, DepthwiseConv2d, MatMul, Operator, Reshape, TensorType
from nnc_tvm.schedules.quantization import FloatClamp

IMAGE = TensorType((1, 4, 4, 6), "int8")


@pytest.mark.parametrize(("operator", "kind"), [
    (DepthwiseConv2d, "depthwise_conv2d"), (MatMul, "mat_mul"), (Conv2d, "conv2d"), (AveragePool2d, "average_pool2d"), (Reshape, "reshape"),
])
def test_kind(operator: type[Operator], kind: str) -> None:
    assert operator.__new__(operator).kind == kind


@pytest.mark.parametrize(("dtype", "weight_bytes"), [(np.int16, 6 * 9 + 4 * 6), (np.float32, 4 * 6 * 9 + 4 * 6)])
def test_weights_as_the_model_holds_them(dtype: type, weight_bytes: int) -> None:
    """Integer weights are bytes, whatever they are widened to; biases have four bytes."""
    operator = DepthwiseConv2d((IMAGE,), IMAGE, np.zeros((3, 3, 6), dtype), np.zeros(6), FloatClamp(), padding=(1, 1, 1, 1))
    assert operator.weight_bytes == weight_bytes
    assert operator.macs == 4 * 4 * 6 * 9


def test_multiply_accumulates() -> None:
    weight = np.zeros((8, 3, 3, 2), np.int16)
    convolution = Conv2d((IMAGE,), TensorType((1, 2, 2, 8), "int8"), weight, np.zeros(8, np.int32), FloatClamp(), groups=3)
    assert convolution.macs == 2 * 2 * 8 * 3 * 3 * 2
    dense = Dense((TensorType((5, 7), "int8"),), TensorType((5, 3), "int8"), np.zeros((3, 7), np.int16), np.zeros(3, np.int32), FloatClamp())
    assert dense.macs == 5 * 7 * 3


@pytest.mark.parametrize(("padded", "counts"), [(False, [4, 6, 4, 6, 9, 6, 4, 6, 4]), (True, [9] * 9)])
def test_counts_of_pooling_windows(padded: bool, counts: list[int]) -> None:
    image = TensorType((1, 3, 3, 1), "int8")
    operator = AveragePool2d((image,), image, (3, 3), (1, 1), (1, 1, 1, 1), padded, 0, None)
    assert operator.counts.tolist() == counts
