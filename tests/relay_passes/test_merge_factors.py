"""Factors multiplied back: where that is cheaper, and only there; the same outputs, or as near as was asked for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nnc_tvm.errors import InvalidInput
from nnc_tvm.reference import run_program
from nnc_tvm.relay_passes.fuse_chains import fuse_chains
from nnc_tvm.relay_passes.fuse_residuals import fuse_residuals
from nnc_tvm.relay_passes.merge_factors import merge_factors
from nnc_tvm.relay_passes.program import Layer, Program, ScheduledProgram, Value
from nnc_tvm.relay_passes.schedule_layers import schedule_layers
from nnc_tvm.schedules.forms import MERGED, parse_forms
from nnc_tvm.schedules.operators import Conv2d
from nnc_tvm.schedules.operators.operator import WeightedSum
from nnc_tvm.schedules.quantization import make_requantize
from nnc_tvm.targets.base import Optimize, Target
from nnc_tvm.targets.registry import get_target
from tests.kernels.cases import random_generator
from tests.relay_passes.random_programs import Network
from tests.relay_passes.test_factors import NONE, conv, depthwise, quantized
from tests.relay_passes.test_factors import TensorType as T

CPUS = [("x86_cpu", "x86-64-v3"), ("x86_cpu", "znver4"), ("arm_cpu", "cortex-a76"), ("arm_cpu", "cortex-a53")]


def target_of(cpu: tuple[str, str] = CPUS[0], forms: str = "auto", asked: bool = False, optimize: Optimize = "balanced") -> Target:
    return dataclasses.replace(get_target(*cpu), forms=parse_forms(forms), merge_factors=asked, optimize=optimize)


def program_of(*factors: WeightedSum) -> Program:
    """The factors one after the other, layers f0, f1, ..."""
    values = {"x": Value("x", factors[0].inputs[0])} | {f"f{k}": Value(f"f{k}", f.output) for k, f in enumerate(factors)}
    layers = tuple(Layer(f"f{k}", f, (f"f{k - 1}" if k else "x",), f"f{k}") for k, f in enumerate(factors))
    return Program(values, ("x",), (layers[-1].output,), layers, "float")


def pair(rank: int, kernel: int = 1, channels: int = 64, size: int = 14, seed: int = 0) -> list[WeightedSum]:
    """A float kxk convolution and a 1x1, through `rank` channels."""
    rng = np.random.default_rng(seed)
    first = conv(rng, T((1, size, size, channels), "float32"), rank, (kernel, kernel), padding=(kernel // 2,) * 4)
    return [first, conv(rng, first.output, channels, (1, 1))]


def integers(factors: list[WeightedSum], seed: int = 0) -> list[WeightedSum]:
    return quantized(np.random.default_rng(seed), factors, "float")


def names(program: Program) -> list[str]:
    return [layer.name for layer in program.layers]


@pytest.mark.parametrize("cpu", CPUS, ids=[name for _, name in CPUS])
def test_a_rank_that_is_too_high(cpu: tuple[str, str]) -> None:
    """Before: two layers. After: the product, under the last one's name."""
    program, target = program_of(*pair(60)), target_of(cpu)
    after = merge_factors(program, target)
    (layer,) = after.layers
    assert (layer.name, layer.form, layer.inputs, layer.output) == ("f1", MERGED, ("x",), "f1")
    assert isinstance(layer.operator, Conv2d) and layer.operator.weight.shape == (64, 1, 1, 64)
    assert after.values.keys() == {"x", "f1"} and "rounded in another order" in layer.note
    x = np.random.default_rng(1).standard_normal((1, 14, 14, 64)).astype(np.float32)
    want, got = (run_program(p, {"x": x})["f1"] for p in (program, after))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * np.abs(want).max())


@pytest.mark.parametrize("cpu", CPUS, ids=[name for _, name in CPUS])
def test_a_low_rank_stays(cpu: tuple[str, str]) -> None:
    for factors in (pair(8), pair(16, kernel=3)):
        program = program_of(*factors)
        assert merge_factors(program, target_of(cpu)) is program


def test_integers_need_the_option() -> None:
    program = program_of(*integers(pair(60)))
    assert merge_factors(program, target_of()) is program
    (layer,) = merge_factors(program, target_of(asked=True)).layers
    assert layer.form == MERGED and "differs from the model by the requantization" in layer.note
    x = np.random.default_rng(1).integers(-128, 128, (1, 14, 14, 64)).astype(np.int8)
    want, got = (run_program(p, {"x": x})["f1"].astype(int) for p in (program, merge_factors(program, target_of(asked=True))))
    assert np.abs(want - got).max() <= 4


def test_integers_that_are_the_same_do_not() -> None:
    """A first factor that puts channels in another order."""
    first, last = integers(pair(64))
    zero = first.input_zero_point
    weight = np.random.default_rng(2).permutation(np.eye(64, dtype=np.int16)).reshape(64, 1, 1, 64)
    order = dataclasses.replace(first, weight=weight, bias=np.zeros(64, np.int32), epilogue=make_requantize("float", 1.0, zero))
    program = program_of(order, dataclasses.replace(last, input_zero_point=zero))
    after = merge_factors(program, target_of())
    assert names(after) == ["f1"] and "differs" not in after.layers[0].note
    x = np.random.default_rng(3).integers(-128, 128, (1, 14, 14, 64)).astype(np.int8)
    np.testing.assert_array_equal(run_program(after, {"x": x})["f1"], run_program(program, {"x": x})["f1"])


def test_forms_restrict_it() -> None:
    program = program_of(*pair(60))
    for forms in ("dense", "block,low-rank"):
        assert merge_factors(program, target_of(forms=forms)) is program
    assert names(merge_factors(program, target_of(forms="merged"))) == ["f1"]
    with pytest.raises(InvalidInput, match="--merge-factors: --forms dense leaves 'merged' out"):
        parse_forms("dense", merge_factors=True)


def test_values_that_others_read_stay() -> None:
    program = program_of(*pair(60))
    seen = dataclasses.replace(program, outputs=("f0", "f1"))
    assert merge_factors(seen, target_of()) is seen


@pytest.mark.parametrize("cpu", CPUS, ids=[name for _, name in CPUS])
def test_depthwise_factors(cpu: tuple[str, str]) -> None:
    """One that only scales channels goes into the 1x1 behind it, a wide one stays: separable is cheaper than whole."""
    rng = np.random.default_rng(7)
    source = T((1, 14, 14, 64), "float32")
    for kernel, merged in (((1, 1), True), ((3, 3), False)):
        first = depthwise(rng, source, 1, kernel, tuple(k // 2 for k in (*kernel, *kernel)))  # type: ignore[arg-type]
        program = program_of(first, conv(rng, first.output, 64, (1, 1)))
        after = merge_factors(program, target_of(cpu))
        assert names(after) == (["f1"] if merged else ["f0", "f1"])
        x = rng.standard_normal(source.shape).astype(np.float32)
        want, got = (run_program(p, {"x": x})["f1"] for p in (program, after))
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * np.abs(want).max())


def test_only_the_factors_that_pay() -> None:
    """Tucker-2 with a rank that is too high before the core and low behind it."""
    rng = np.random.default_rng(4)
    first = conv(rng, T((1, 14, 14, 32), "float32"), 128, (1, 1), bias=False)
    core = conv(rng, first.output, 8, (3, 3), padding=(1, 1, 1, 1))
    after = merge_factors(program_of(first, core, conv(rng, core.output, 128, (1, 1))), target_of())
    assert names(after) == ["f1", "f2"] and [layer.form for layer in after.layers] == [MERGED, "dense"]


def cost(scheduled: ScheduledProgram) -> float:
    return sum(layer.selection.taken.cost for layer in scheduled.layers if layer.selection is not None)


@pytest.mark.parametrize("optimize", ["speed", "balanced", "size"])
def test_never_dearer(optimize: Optimize) -> None:
    """Than what is made of the factors otherwise; nor larger for size."""
    rng = random_generator()
    for _ in range(6):
        kernel, channels, size = (int(rng.choice(v)) for v in ([1, 3], [24, 64, 100], [7, 14]))
        factors = pair(int(rng.integers(4, 1.5 * channels)), kernel, channels, size)
        program = program_of(*(factors if rng.integers(2) else integers(factors)))
        target = target_of(CPUS[int(rng.integers(len(CPUS)))], asked=True, optimize=optimize)
        merged = merge_factors(program, target)
        apart, together = (schedule_layers(p, target) for p in (program, merged))
        assert merged is program or cost(together) < min(cost(apart), cost(fuse_chains(apart, target)))
        if optimize == "size":
            assert sum(c.nbytes for s in together.layers for t in s.stages for c in t.constants) <= sum(
                c.nbytes for s in apart.layers for t in s.stages for c in t.constants)


def test_what_becomes_of_it() -> None:
    """The schedule names what the factors would take; a sum behind the last one joins it and keeps the note."""
    net = Network(6, "float", prune=0.0)
    x = net.input(1, 28, 28, 64)
    first, last = integers(pair(60, size=28))
    other = net.conv(x, 64, 3)
    middle = net.emit(dataclasses.replace(first, input_zero_point=net.zero_points[x]), x, zero_point=last.input_zero_point)
    y = net.emit(last, middle, zero_point=last.epilogue.zero_point)  # type: ignore[union-attr]
    program, target = net.program(net.add(y, other)), target_of(asked=True, optimize="speed")
    scheduled = schedule_layers(fuse_residuals(merge_factors(program, target), target), target)
    (layer,) = [s for s in scheduled.layers if s.layer.form == MERGED]
    assert layer.selection is not None and isinstance(layer.layer.operator, Conv2d) and layer.layer.operator.residual is not None
    assert layer.layer.instead[0] in layer.selection.others and "would take" in layer.selection.why
    assert "differs from the model" in layer.layer.note


def test_borders_and_bias_stay_apart() -> None:
    """A 1x1 with a bias before a border has no product."""
    rng = np.random.default_rng(7)
    first = conv(rng, T((1, 9, 9, 8), "float32"), 64, (1, 1))
    program = program_of(first, conv(rng, first.output, 8, (3, 3), padding=(1, 1, 1, 1)))
    assert merge_factors(program, target_of()) is program
    inner = program_of(first, conv(rng, first.output, 8, (3, 3), padding=NONE))
    assert names(merge_factors(inner, target_of())) == ["f1"]
