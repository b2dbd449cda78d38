"""What the NNC-1 takes: one operator for each constraint that refuses it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nnc_tvm.errors import Unsupported
from nnc_tvm.schedules.operators import Conv2d, Dense, LinearCombination, MaxPool2d, Multiply, Operator, Pad, TensorType
from nnc_tvm.schedules.quantization import make_requantize
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.constraints import COMMANDS, CONSTRAINTS, refusal, support
from nnc_tvm.targets.npu.jobs import pieces
from tests.kernels.cases import random_generator

FIXED = make_requantize("fixed", 0.1, 0, -128, 127)
IMAGE = TensorType((1, 6, 6, 8), "int8")
DENSE = Dense((TensorType((1, 8), "int8"),), TensorType((1, 8), "int8"), np.ones((8, 8), np.int16), np.zeros(8, np.int32), FIXED, 0)
CONV = Conv2d((IMAGE,), IMAGE, np.ones((8, 1, 1, 8), np.int16), np.zeros(8, np.int32), FIXED, 0, (1, 1), (0, 0, 0, 0), (1, 1))
POOL = MaxPool2d((IMAGE,), IMAGE, (1, 1), (1, 1), (0, 0, 0, 0))
WIDE = TensorType((1, 6, 700, 8), "int8")
LONG, TALL = TensorType((1, 6, 60000, 8), "int8"), TensorType((1, 60000, 6, 8), "int8")
LARGE = TensorType((1, 100, 100, 8), "int8")
DEEP = TensorType((1, 6, 6, 136), "int8")
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
    (replace(CONV, weight=np.ones((8, 23, 23, 8), np.int16)), "weight_buffer"), (replace(CONV, weight=np.ones((8, 20, 20, 8), np.int16)), None),
    (replace(CONV, weight=np.ones((8, 22, 22, 136), np.int16), inputs=(DEEP,)), "sums"),
    (replace(CONV, weight=np.ones((8, 3, 3, 8), np.int16), padding=(1, 1, 1, 1), inputs=(WIDE,), output=WIDE), None),
    (replace(POOL, kernel=(100, 100), inputs=(LARGE,), output=TensorType((1, 1, 1, 8), "int8")), "input_buffer"),
    (replace(CONV, inputs=(WIDE,), output=WIDE), None),
    (replace(POOL, kernel=(3, 3), padding=(1, 1, 1, 1), inputs=(WIDE,), output=WIDE), None),
    (replace(addition(IMAGE), inputs=(LONG, LONG), output=LONG), "memory"), (replace(addition(IMAGE), inputs=(TALL, TALL), output=TALL), None),
])
def test_what_is_refused_and_why(operator: Operator, constraint: str | None) -> None:
    reason = refusal(operator, Config())
    assert reason == constraint or (constraint is not None and reason is not None and reason.startswith(f"{constraint}: "))


def test_the_support_table_is_made_of_the_constraints() -> None:
    rows = support()
    assert [row.operator for row in rows] == [kind.__name__ for kind in COMMANDS]
    assert {name for row in rows for name in row.constraints} == {c.__name__ for c in CONSTRAINTS}
    assert all(" must " in text for row in rows for text in row.constraints.values())


def test_what_is_taken_fits_the_buffers() -> None:
    """Random convolutions and pools: those that no constraint refuses have a tile; those that do not fit their buffers have none."""
    rng, taken = random_generator(), 0
    config = Config(input_buffer_bytes=2048, weight_buffer_bytes=2048)
    while taken < 40:
        h, w, c, o, k, s = (int(rng.integers(1, most)) for most in (12, 60, 40, 40, 6, 3))
        pad = k // 2
        shape = ((h + 2 * pad - k) // s + 1, (w + 2 * pad - k) // s + 1)
        if min(shape) < 1:
            continue
        source = TensorType((1, h, w, c), "int8")
        pooled = rng.random() < 0.4
        output = TensorType((1, *shape, c if pooled else o), "int8")
        operator = (MaxPool2d((source,), output, (k, k), (s, s), (pad,) * 4) if pooled else
                    Conv2d((source,), output, np.ones((o, k, k, c), np.int16), np.zeros(o, np.int32), FIXED, 0, (s, s), (pad,) * 4, (1, 1)))
        reason = refusal(operator, config)
        if reason is None:
            taken += 1
            assert pieces(operator, config, 1 << 14)
        else:
            assert reason.startswith(("input_buffer", "weight_buffer"))
            with pytest.raises(Unsupported):
                pieces(operator, config, 1 << 14)
