"""Layers in one kernel: the same outputs as apart, smaller arenas, low-rank factors together."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nnc_tvm.package.constants import Constants
from nnc_tvm.package.layout import lay_out
from nnc_tvm.reference import run_program
from nnc_tvm.relay_passes.fuse_chains import NOT_SLOWER, SMALLER, WEIGHTS, fuse_chains
from nnc_tvm.relay_passes.live_bytes import LiveBytes
from nnc_tvm.relay_passes.program import Program, ScheduledProgram
from nnc_tvm.relay_passes.schedule_layers import schedule_layers
from nnc_tvm.relay_passes.split_kernels import split_kernels
from nnc_tvm.schedules.forms import parse_forms
from nnc_tvm.schedules.operators import Chain
from nnc_tvm.schedules.parallel import shares_well
from nnc_tvm.schedules.rules import chain
from nnc_tvm.targets.base import Optimize, Target
from nnc_tvm.targets.registry import get_target
from tests.kernels.cases import random_generator
from tests.relay_passes.random_programs import Network

CPUS = [("x86_cpu", "x86-64-v3"), ("arm_cpu", "cortex-a76")]


def low_rank(seed: int, residual: bool = True) -> Program:
    """Pairs of 1x1 convolutions through few channels, a residual sum around one of them, a wide layer, and a dense pair."""
    net = Network(seed, "float", prune=0.0)
    x = net.conv(net.input(1, 12, 12, 8), 128, 3)
    for _ in range(2):
        x = net.conv(net.conv(x, 16, 1, pad=0), 128, 1, pad=0)
    if residual:
        x = net.add(x, net.conv(net.conv(x, 16, 1, pad=0), 128, 1, pad=0))
    x = net.conv(net.conv(x, 16, 1, pad=0), 256, 1, pad=0)
    return net.program(net.dense(net.dense(net.dense(net.mean(x), 32), 100), 7))


def target_of(cpu: tuple[str, str], forms: str = "auto") -> Target:
    return dataclasses.replace(get_target(*cpu), optimize="speed", forms=parse_forms(forms))


def fused(program: Program, target: Target) -> ScheduledProgram:
    return fuse_chains(schedule_layers(program, target), target)


def arena_bytes(scheduled: ScheduledProgram) -> int:
    return lay_out(scheduled, Constants()).arena.bytes


@pytest.mark.parametrize("cpu", CPUS, ids=["avx2", "a76"])
def test_outputs_are_equal_and_the_arena_smaller(cpu: tuple[str, str]) -> None:
    program = low_rank(1, residual=False)
    target = target_of(cpu)
    apart, together = schedule_layers(program, target), fused(program, target)
    assert sum(isinstance(layer.layer.operator, Chain) for layer in together.layers) >= 3
    # where kernels read images as they are, the last wide layer, which cannot do with less, is the fullest
    assert arena_bytes(together) - arena_bytes(apart) < (0 if target.kind == "x86_cpu" else 1)
    rng = np.random.default_rng(2)
    inputs = {name: rng.integers(-128, 128, program.values[name].type.shape).astype(np.int8) for name in program.inputs}
    want, got = run_program(program, inputs), run_program(together.program, inputs)
    assert all(np.array_equal(want[name], got[name]) for name in program.outputs)


@pytest.mark.parametrize("seed", range(4))
def test_live_bytes_are_what_the_planner_needs(seed: int) -> None:
    """Of programs apart and fused: the fullest layer's is the planner's lower bound."""
    program, target = low_rank(seed), target_of(CPUS[seed % 2])
    for scheduled in (schedule_layers(program, target), fused(program, target)):
        live = LiveBytes(scheduled)
        assert max(live.of_layer(k) for k in range(len(scheduled.layers))) == lay_out(scheduled, Constants()).arena.lower_bound


@pytest.mark.parametrize("optimize", ["speed", "size"])
@pytest.mark.parametrize("threads", [2, 3])
def test_threads_share_chains(threads: int, optimize: Optimize) -> None:
    """For speed only chains that they share well; every thread's scratch counts."""
    program, target = low_rank(9, residual=False), dataclasses.replace(target_of(CPUS[0]), threads=threads, optimize=optimize)
    together = split_kernels(fused(program, target), threads)
    chains = [layer for layer in together.layers if isinstance(layer.layer.operator, Chain)]
    assert any(layer.stages[0].parts == threads for layer in chains)
    if optimize == "speed":
        assert all(shares_well(layer.selection.taken.turns, threads) for layer in chains)  # type: ignore[union-attr]
    live = LiveBytes(together)
    assert max(live.of_layer(k) for k in range(len(together.layers))) == lay_out(together, Constants()).arena.lower_bound


@pytest.mark.parametrize("cpu", CPUS, ids=["avx2", "a76"])
def test_factors_of_a_cp_decomposition(cpu: tuple[str, str]) -> None:
    """1x1, depthwise twice, 1x1 of an odd rank: every value between them is narrow, and the outputs are those of the layers apart."""
    net = Network(7, "float", prune=0.0)
    x = net.conv(net.input(1, 14, 14, 8), 64, 3)
    program = net.program(net.conv(net.depthwise(net.depthwise(net.conv(x, 13, 1, pad=0), stride=2)), 96, 1, pad=0))
    layers = [layer.operator for layer in program.layers[1:]]
    assert chain.narrow_values(Chain.of(*layers)) == 3  # type: ignore[arg-type]
    together = fused(program, target_of(cpu))
    rng = np.random.default_rng(2)
    inputs = {name: rng.integers(-128, 128, program.values[name].type.shape).astype(np.int8) for name in program.inputs}
    want, got = run_program(program, inputs), run_program(together.program, inputs)
    assert all(np.array_equal(want[name], got[name]) for name in program.outputs)
    # a wide layer between depthwise ones is no factor
    net = Network(8, "float", prune=0.0)
    net.conv(net.depthwise(net.conv(net.input(1, 8, 8, 16), 96, 1, pad=0)), 24, 1, pad=0)
    assert chain.narrow_values(Chain.of(*(layer.operator for layer in net.layers))) == 0  # type: ignore[arg-type]


def weight_bytes(scheduled: ScheduledProgram) -> int:
    return sum(layer.selection.taken.weight_bytes for layer in scheduled.layers if layer.selection is not None)


def test_four_bits_stay_four_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels of several layers hold bytes: but for speed they are not taken where the layers apart store half of that."""
    net = Network(6, "float", prune=0.0)
    x = net.input(1, 25, 5, 64)
    for _ in range(2):
        x = net.conv(net.depthwise(x), 64, 1, pad=0)
    program = net.program(x)
    layers = [dataclasses.replace(layer, operator=dataclasses.replace(layer.operator, weight=layer.operator.weight % 15 - 7))  # type: ignore[type-var]
              if hasattr(layer.operator, "weight") else layer for layer in program.layers]
    target = dataclasses.replace(target_of(("x86_cpu", "znver4")), optimize="balanced")
    apart = schedule_layers(dataclasses.replace(program, layers=tuple(layers)), target)
    assert sum(layer.selection is not None and layer.selection.taken.form == "int4" for layer in apart.layers) == 4
    assert weight_bytes(fuse_chains(apart, target)) <= WEIGHTS["balanced"] * weight_bytes(apart)
    monkeypatch.setitem(WEIGHTS, "balanced", 3.0)
    assert weight_bytes(fuse_chains(apart, target)) > 1.25 * weight_bytes(apart)


def test_dense_means_apart() -> None:
    program, target = low_rank(3), target_of(CPUS[0], "dense")
    scheduled = schedule_layers(program, target)
    assert fuse_chains(scheduled, target) is scheduled


def test_low_rank_alone() -> None:
    """What is no pair of factors stays apart where that form is not allowed."""
    together = fused(low_rank(4), target_of(CPUS[0], "low-rank"))
    chains = [layer for layer in together.layers if isinstance(layer.layer.operator, Chain)]
    assert chains and all(layer.form == "low-rank (fused)" for layer in chains)


def test_values_that_others_read_stay() -> None:
    """An output of the program, and what two layers read, are whole."""
    net = Network(5, "float", prune=0.0)
    a = net.conv(net.conv(net.input(1, 8, 8, 4), 64, 3), 8, 1, pad=0)
    b = net.conv(a, 64, 1, pad=0)
    c = net.conv(b, 8, 1, pad=0)
    program = net.program(net.conv(c, 64, 1, pad=0), a, net.conv(c, 32, 1, pad=0))
    values = fused(program, target_of(CPUS[0])).program.values
    assert {a, c} <= values.keys()


@pytest.mark.parametrize("cpu", CPUS, ids=["avx2", "a76"])
def test_what_is_dearer_must_make_the_arena_smaller(cpu: tuple[str, str]) -> None:
    """Of random chains those whose estimate is above their layers' are taken only where the arena shrinks by more than a little."""
    rng = random_generator()
    for seed in rng.integers(1 << 30, size=6):
        net = Network(int(seed), "float", prune=0.0)
        x = net.conv(net.input(1, *(int(v) for v in rng.integers(6, 20, 2)), int(rng.integers(8, 64))), int(rng.integers(16, 128)), 3)
        for _ in range(2):
            x = net.conv(net.conv(x, int(rng.integers(4, 24)), int(rng.choice([1, 3])), pad=0), int(rng.integers(32, 128)), 1, pad=0)
        program, target = net.program(x), target_of(cpu)
        apart, together = schedule_layers(program, target), fused(program, target)
        costs = [sum(s.selection.taken.cost for s in scheduled.layers if s.selection is not None) for scheduled in (apart, together)]
        assert costs[1] <= NOT_SLOWER * costs[0] or arena_bytes(together) <= SMALLER * arena_bytes(apart)
