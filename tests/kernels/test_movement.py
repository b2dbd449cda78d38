"""Operators that move elements, on every CPU, against the oracle."""

from __future__ import annotations

import numpy as np
import pytest

from nnc_tvm.schedules.operators import Broadcast, Concat, Operator, Pad, StridedSlice, TensorType, Transpose
from nnc_tvm.schedules.rules import movement
from tests.kernels.cases import CPU_NAMES, CPUS, check, random_generator, target_of

TRANSPOSES = [
    ((1, 3, 20, 21), (0, 2, 3, 1)), ((2, 20, 21, 35), (0, 3, 1, 2)), ((2, 20, 21, 35), (0, 2, 1, 3)), ((5, 6, 7, 8), (3, 2, 1, 0)), ((16, 64), (1, 0)),
    ((1, 17, 1), (2, 1, 0)), ((3, 33, 5, 40), (2, 3, 0, 1)),
]
CONCATS = [
    ([(2, 3, n) for n in (5, 16, 1, 33)], 2), ([(2, n, 7) for n in (5, 16)], 1), ([(4,)], 0), ([(n, 7) for n in (1, 1, 9)], 0),
    ([(1, 4, 4, 3), (1, 4, 4, 64)], 3),
]
PADS = [
    ((1, 5, 6, 17), (0, 1, 2, 0), (0, 3, 0, 0), -7), ((2, 5, 6, 3), (1, 0, 0, 2), (0, 0, 0, 1), 3), ((9,), (3,), (0,), 0), ((3, 4), (0, 0), (0, 0), 1),
    ((1, 8, 8, 16), (0, 1, 1, 0), (0, 1, 1, 0), -128),
]
# input, output, begin, strides
SLICES = [
    ((2, 9, 10, 17), (1, 4, 5, 17), (1, 1, 0, 0), (1, 2, 2, 1)), ((9, 33), (9, 11), (0, 32), (1, -3)), ((4, 40), (2, 33), (1, 5), (1, 1)),
    ((7,), (1,), (3,), (1,)),
]
BROADCASTS = [((3, 1, 17), (2, 3, 5, 17)), ((3, 1), (3, 40)), ((1,), (2, 3, 5, 17))]


def values_of(rng: np.random.Generator, kind: TensorType) -> np.ndarray:
    return rng.integers(-128, 128, kind.shape).astype(kind.dtype)


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_movement(cpu: tuple[str, str | None], dtype: str) -> None:
    rng = random_generator()

    def kind(*shape: int) -> TensorType:
        return TensorType(tuple(shape), dtype)

    operators: list[Operator] = []
    for shape, axes in TRANSPOSES:
        operators.append(Transpose((kind(*shape),), kind(*(shape[a] for a in axes)), axes))
    for shapes, axis in CONCATS:
        output = list(shapes[0])
        output[axis] = sum(s[axis] for s in shapes)
        operators.append(Concat(tuple(kind(*s) for s in shapes), kind(*output), axis))
    for shape, before, after, value in PADS:
        operators.append(Pad((kind(*shape),), kind(*(s + b + a for s, b, a in zip(shape, before, after, strict=True))), before, after, value))
    for shape, out, begin, strides in SLICES:
        operators.append(StridedSlice((kind(*shape),), kind(*out), begin, strides))
    for shape, out in BROADCASTS:
        operators.append(Broadcast((kind(*shape),), kind(*out)))
    check([(op, [values_of(rng, t) for t in op.inputs]) for op in operators], movement.stages, target_of(cpu))
