"""Float layers of 4-bit weights with a scale per block, against the oracle on the floats."""

from __future__ import annotations

import numpy as np
import pytest

from nnc_tvm.schedules.operators import Conv2d, Dense, Operator, TensorType
from nnc_tvm.schedules.quantization import FloatClamp
from nnc_tvm.schedules.rules import int4_blocks
from tests.kernels.cases import CPU_NAMES, CPUS, check, random_generator, rule_of, target_of

stages = rule_of(int4_blocks.candidate)


def blocked(rng: np.random.Generator, rows: int, columns: int, size: int) -> np.ndarray:
    """float32 (rows, columns): 4-bit integers less a zero point times a scale, both of each block."""
    blocks = (rows, columns // size)
    zero = rng.integers(4, 12, (*blocks, 1)) if rng.random() < 0.5 else 8
    scale = rng.uniform(0.01, 0.1, (*blocks, 1)).astype(np.float32)
    return ((rng.integers(0, 16, (*blocks, size)) - zero).astype(np.float32) * scale).reshape(rows, columns)


def dense(rng: np.random.Generator, m: int, k: int, o: int, size: int) -> tuple[Operator, list[np.ndarray]]:
    bias = rng.standard_normal(o).astype(np.float32)
    operator = Dense((TensorType((m, k), "float32"),), TensorType((m, o), "float32"), blocked(rng, o, k, size), bias, FloatClamp(-20.0, 30.0))
    return operator, [rng.standard_normal((m, k)).astype(np.float32)]


def conv2d(rng: np.random.Generator, channels: int, out: int, size: int, dilation: int) -> tuple[Operator, list[np.ndarray]]:
    weight = blocked(rng, out, 9 * channels, size).reshape(out, 3, 3, channels)
    side = 9 - 2 * dilation + 2
    x, y = [TensorType(shape, "float32") for shape in ((2, 9, 9, channels), (2, side, side, out))]
    operator = Conv2d((x,), y, weight, np.zeros(out, np.float32), FloatClamp(), 0, (1, 1), (1, 1, 1, 1), (dilation, dilation))
    return operator, [rng.standard_normal((2, 9, 9, channels)).astype(np.float32)]


@pytest.mark.parametrize("cpu", CPUS[:5], ids=CPU_NAMES[:5])
def test_random_shapes(cpu: tuple[str, str | None]) -> None:
    rng = random_generator()
    cases = [dense(rng, *shape) for shape in ((1, 256, 40, 32), (1, 128, 100, 128), (7, 64, 17, 64), (12, 96, 3, 16), (3, 320, 33, 64))]
    cases += [conv2d(rng, 32, 12, 16, 1), conv2d(rng, 64, 20, 64, 2)]
    check(cases, stages, target_of(cpu), tolerance=1e-5)


def test_only_what_is_on_a_grid() -> None:
    rng = random_generator()
    operator, _ = dense(rng, 4, 64, 32, 32)
    target = target_of(CPUS[0])
    taken = int4_blocks.candidate(operator, target)
    assert taken is not None and taken.weight_bytes < operator.weight_bytes / 5
    weight = rng.standard_normal((32, 64)).astype(np.float32)
    assert int4_blocks.candidate(Dense(operator.inputs, operator.output, weight, np.zeros(32, np.float32), FloatClamp()), target) is None
