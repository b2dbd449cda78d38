"""What the NNC-1 takes: one operator for each constraint that refuses it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nnc_tvm.schedules.operators import Conv2d, Dense, LinearCombination, MaxPool2d, Multiply, Operator, Pad, TensorType
from nnc_tvm.schedules.quantization import make_requantize
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.constraints import COMMANDS, CONSTRAINTS, refusal, support

FIXED = make_requantize("fixed", 0.1, 0, -128, 127)
IMAGE = TensorType((1, 6, 6, 8), "int8")
DENSE = Dense((TensorType((1, 8), "int8"),), TensorType((1, 8), "int8"), np.ones((8, 8), np.int16), np.zeros(8, np.int32), FIXED, 0)
CONV = Conv2d((IMAGE,), IMAGE, np.ones((8, 1, 1, 8), np.int16), np.zeros(8, np.int32), FIXED, 0, (1, 1), (0, 0, 0, 0), (1, 1))
POOL = MaxPool2d((IMAGE,), IMAGE, (1, 1), (1, 1), (0, 0, 0, 0))
TWICE = TensorType((2, 6, 6, 8), "int8")


def addition(b: TensorType) -> LinearCombination:
    return LinearCombination.build("fixed", (IMAGE, b), IMAGE, ((0.1, 0), (0.1, 0), (0.1, 0)))


def product(*shapes: tuple[int, ...], scale: float = 0.1) -> Multiply:
    a, b = (TensorType(shape, "int8") for shape in shapes)
    return Multiply.build("fixed", (a, b), IMAGE, ((scale, 0), (scale, 0), (0.1, 0)))


@pytest.mark.parametrize(("operator", "constraint"), [
    (product(IMAGE.shape, IMAGE.shape), None), (product((1, 1, 1, 8), IMAGE.shape), None), (product(IMAGE.shape, (1, 1, 6, 8)), "one_pixel"),
    (product(IMAGE.shape, IMAGE.shape, scale=100.0), "small_products"),
    (DENSE, None), (CONV, None), (POOL, None), (addition(IMAGE), None),
    (Pad((IMAGE,), IMAGE, (0,) * 4, (0,) * 4, 0), "known"),
    (replace(DENSE, inputs=(TensorType((1, 8), "int16"),)), "integers"),
    (replace(CONV, inputs=(TWICE,), output=TWICE), "one_image"),
    (replace(DENSE, epilogue=make_requantize("float", 0.1, 0, -128, 127)), "fixed"),
    (replace(DENSE, weight=np.full((8, 8), 200, np.int16)), "int8_weights"),
    (replace(CONV, groups=2, weight=np.ones((8, 1, 1, 4), np.int16)), "plain_convolution"),
    (replace(CONV, strides=(256, 1)), "windows"),
    (replace(POOL, dilation=(2, 2)), "pooling"),
    (addition(TensorType((1, 1, 1, 8), "int8")), "same_shapes"),
    (replace(CONV, weight=np.ones((8, 20, 20, 8), np.int16)), "buffers"),
    (replace(CONV, inputs=(TensorType((1, 600, 600, 8), "int8"),)), "memory"),
])
def test_what_is_refused_and_why(operator: Operator, constraint: str | None) -> None:
    reason = refusal(operator, Config())
    assert reason == constraint or (constraint is not None and reason is not None and reason.startswith(f"{constraint}: "))


def test_the_support_table_is_made_of_the_constraints() -> None:
    rows = support()
    assert [row.operator for row in rows] == [kind.__name__ for kind in COMMANDS]
    assert {name for row in rows for name in row.constraints} == {c.__name__ for c in CONSTRAINTS}
    assert all(" must " in text for row in rows for text in row.constraints.values())
