"""Arithmetic, rescaling and conversion on every CPU against the oracle."""

from __future__ import annotations

import numpy as np
import pytest

from nnc_tvm.schedules.operators import (
    Dequantize,
    Divide,
    FlipSign,
    LinearCombination,
    Multiply,
    Operator,
    Quantize,
    Rescale,
    SquaredDifference,
    TensorType,
)
from nnc_tvm.schedules.quantization import Mode
from nnc_tvm.schedules.rule import choose_default
from nnc_tvm.schedules.rules import division, elementwise, rescaled
from tests.kernels.cases import CPU_NAMES, CPUS, MODES, check, random_generator, target_of

BROADCASTS = [
    ((1, 7, 9, 17), (1, 7, 9, 17)), ((2, 5, 64), (64,)), ((3, 5), (3, 1)), ((5,), (1,)), ((1, 3, 4), (2, 3, 1)), ((1, 6, 6, 20), (1, 1, 1, 20)),
    ((1, 1, 33), (4, 3, 1)), ((1,), (1,)), ((3, 1001), (3, 1001)),
]


def int8(shape: tuple[int, ...]) -> TensorType:
    return TensorType(shape, "int8")


def scale_and_zero_point(rng: np.random.Generator) -> tuple[float, int]:
    return float(rng.uniform(0.01, 0.1)), int(rng.integers(-128, 128))


@pytest.mark.parametrize("mode", ["fixed", "float"])
@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_two_operands(cpu: tuple[str, str | None], mode: Mode) -> None:
    rng = random_generator()
    cases: list[tuple[Operator, list[np.ndarray]]] = []
    for k, (a, b) in enumerate(BROADCASTS):
        quantization = tuple(scale_and_zero_point(rng) for _ in range(3))
        arrays = [rng.integers(-128, 128, shape).astype(np.int8) for shape in (a, b)]
        output = int8(np.broadcast_shapes(a, b))
        cases.append((LinearCombination.build(mode, (int8(a), int8(b)), output, quantization, sign=1 - 2 * (k % 2)), arrays))
        cases.append((Multiply.build(mode, (int8(a), int8(b)), output, quantization, -100, 90), arrays))
    check(cases, elementwise.stages, target_of(cpu))


@pytest.mark.parametrize("mode", ["fixed", "float"])
@pytest.mark.parametrize("cpu", CPUS[:-1], ids=CPU_NAMES[:-1])
def test_requantized_in_registers(cpu: tuple[str, str | None], mode: Mode) -> None:
    """Shapes that fill vectors: of 16, 8 and 4 bytes, with operands that repeat along either axis; every byte with every other."""
    rng = random_generator()
    every = np.arange(-128, 128).astype(np.int8)
    pairs = [np.ascontiguousarray(np.broadcast_to(axis, (256, 256))) for axis in (every[:, None], every)]
    cases: list[tuple[Operator, list[np.ndarray]]] = []
    for k in range(3):
        quantization = tuple(scale_and_zero_point(rng) for _ in range(3))
        cases.append((LinearCombination.build(mode, (int8((256, 256)),) * 2, int8((256, 256)), quantization, sign=1 - 2 * (k % 2)), pairs))
    for a, b in (((1, 3, 5, 24), (24,)), ((6, 40), (6, 1)), ((2, 8), (2, 8)), ((7, 16), (1,))):
        quantization = tuple(scale_and_zero_point(rng) for _ in range(3))
        arrays = [rng.integers(-128, 128, shape).astype(np.int8) for shape in (a, b)]
        cases.append((LinearCombination.build(mode, (int8(a), int8(b)), int8(np.broadcast_shapes(a, b)), quantization, -1, -100, 90), arrays))
        cases.append((Multiply.build(mode, (int8(a), int8(b)), int8(np.broadcast_shapes(a, b)), quantization), arrays))
    for dtype, values in (("int8", every), ("uint8", np.arange(256).astype(np.uint8))):
        cases.append((Rescale.build(mode, TensorType((256,), dtype), int8((256,)), (scale_and_zero_point(rng), scale_and_zero_point(rng))), [values]))
    check(cases, rescaled.stages, target_of(cpu))


def squared_difference(rng: np.random.Generator, a: tuple[int, ...], b: tuple[int, ...]) -> SquaredDifference:
    """Of random scales, of which the output's spreads most results over int8."""
    (sa, za), (sb, zb) = scale_and_zero_point(rng), scale_and_zero_point(rng)
    out = (max(sa, sb) ** 2 * 60, int(rng.integers(-128, 0)))
    made = SquaredDifference.build((int8(a), int8(b)), int8(np.broadcast_shapes(a, b)), ((sa, za), (sb, zb), out), -120, 110)
    assert made is not None
    return made


@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_squared_difference(cpu: tuple[str, str | None]) -> None:
    """Every byte with every other, and broadcast; in vectors of the CPU's own and without."""
    rng = random_generator()
    shapes = [((256, 256), (256, 256)), ((6, 40), (6, 1)), ((1, 3, 5, 24), (24,))]
    pairs = [np.ascontiguousarray(np.broadcast_to(axis, (256, 256))) for axis in np.ix_(*[np.arange(-128, 128).astype(np.int8)] * 2)]
    cases: list[tuple[Operator, list[np.ndarray]]] = [(squared_difference(rng, (256, 256), (256, 256)), pairs)]
    cases += [(squared_difference(rng, a, b), [rng.integers(-128, 128, shape).astype(np.int8) for shape in (a, b)]) for a, b in shapes + BROADCASTS]
    check(cases, elementwise.stages, target_of(cpu))
    if target_of(cpu).emit != "c":
        check(cases[:4], rescaled.stages, target_of(cpu))


@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_quotients(cpu: tuple[str, str | None]) -> None:
    """Every byte with every other, divisors of 0 and quotients that round to 0 among them, and broadcast."""
    rng = random_generator()
    cases: list[tuple[Operator, list[np.ndarray]]] = []
    pairs = [np.ascontiguousarray(np.broadcast_to(axis, (256, 256))) for axis in np.ix_(*[np.arange(-128, 128).astype(np.int8)] * 2)]
    shapes = [((256, 256), (256, 256))] * 3 + BROADCASTS
    for k, (a, b) in enumerate(shapes):
        (sa, za), (sb, zb), (_, zo) = (scale_and_zero_point(rng) for _ in range(3))
        unit = (0.01, 0.5, 40.0)[k % 3]  # of the quotient of two steps
        made = Divide.build((int8(a), int8(b)), int8(np.broadcast_shapes(a, b)), ((sa, za), (sb, zb), (sa / sb * unit, zo)), -120, 110)
        assert made is not None
        cases.append((made, pairs if a == (256, 256) else [rng.integers(-128, 128, shape).astype(np.int8) for shape in (a, b)]))
    check(cases, division.stages, target_of(cpu))


@pytest.mark.parametrize("cpu", CPUS, ids=CPU_NAMES)
def test_one_operand(cpu: tuple[str, str | None]) -> None:
    rng = random_generator()
    shape = (5, 37)
    kinds = {dtype: TensorType(shape, dtype) for dtype in ("int8", "uint8", "float32")}
    bytes_ = {"int8": rng.integers(-128, 128, shape).astype(np.int8), "uint8": rng.integers(0, 256, shape).astype(np.uint8)}
    reals = (rng.standard_normal(shape) * 50).astype(np.float32)
    reals.flat[:6] = [np.nan, np.inf, -np.inf, 0.25, -0.25, 0.75]  # ties of scale 0.5
    cases: list[tuple[Operator, list[np.ndarray]]] = []
    for mode in MODES:
        for dtype, values in bytes_.items():
            cases.append((Rescale.build(mode, kinds[dtype], kinds["int8"], (scale_and_zero_point(rng), scale_and_zero_point(rng))), [values]))
    for half_away in (False, True):
        cases.append((Quantize((kinds["float32"],), kinds["int8"], 0.5, 3, half_away=half_away), [reals]))
    cases.append((Dequantize((kinds["int8"],), kinds["float32"], 0.1, -7), [bytes_["int8"]]))
    cases.append((FlipSign((kinds["uint8"],), kinds["int8"]), [bytes_["uint8"]]))
    cases.append((FlipSign((kinds["int8"],), kinds["uint8"]), [bytes_["int8"]]))
    check(cases, elementwise.stages, target_of(cpu))


def test_memory_of_an_operand_that_is_read_once_may_be_reused() -> None:
    rng = random_generator()
    quantization = tuple(scale_and_zero_point(rng) for _ in range(3))
    operator = LinearCombination.build("float", (int8((4, 8)), int8((8,))), int8((4, 8)), quantization)
    (stage,) = elementwise.stages(operator, target_of(CPUS[0]), choose_default) or ()
    assert stage.may_overwrite == (0,)
