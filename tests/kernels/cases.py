"""What tests of kernels share: the CPUs, seeds that are printed, and the comparison with the oracle."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from nnc_tvm.reference import evaluate
from nnc_tvm.schedules.candidates import Candidate, Selection
from nnc_tvm.schedules.operators import Operator
from nnc_tvm.schedules.parallel import split
from nnc_tvm.schedules.quantization import FixedRequantize, FloatRequantize, Mode, make_requantize
from nnc_tvm.schedules.rule import Choose, Rule, Stage, choose_default
from nnc_tvm.targets.base import Target
from nnc_tvm.targets.registry import get_target
from tests.kernels.harness import Job, run_jobs

# one CPU for every set of instructions, and C for any
HAS_VNNI = "avx512_vnni" in pathlib.Path("/proc/cpuinfo").read_text().split()
VNNI = pytest.param(("x86_cpu", "znver4"), marks=pytest.mark.skipif(not HAS_VNNI, reason="this CPU has no AVX-512 VNNI"))
C = ("x86_cpu", "x86-64-v3", None, "c")
CPUS = [("x86_cpu", "x86-64-v3"), VNNI, ("arm_cpu", "cortex-a53"), ("arm_cpu", "cortex-a76"), ("arm_cpu", "neoverse-v1"), C]
CPU_NAMES = ["avx2", "vnni", "a53", "a76", "v1", "c"]
MODES: tuple[Mode, Mode] = ("fixed", "float")


def rule_of(candidate: Callable[[Operator, Target], Candidate | None]) -> Rule:
    """The rule that always takes the form."""
    def rule(operator: Operator, target: Target, choose: Choose) -> tuple[Stage, ...] | None:
        made = candidate(operator, target)
        return made.build(choose) if made is not None else None

    return rule


def target_of(cpu: tuple[Any, ...]) -> Target:
    return get_target(*cpu)


def random_generator() -> np.random.Generator:
    """Seeded by NNC_TEST_SEED or at random; the seed is printed, and pytest shows it where a test fails."""
    seed = int(os.environ.get("NNC_TEST_SEED") or np.random.default_rng().integers(1 << 31))
    print(f"NNC_TEST_SEED={seed}")
    return np.random.default_rng(seed)


def any_choice(rng: np.random.Generator) -> Choose:
    """Decides as tuning may: anything that is offered."""

    def choose(name: str, candidates: Sequence[Any], default: Any) -> Any:
        assert default in candidates, f"{name}: the default {default} is not among {candidates}"
        return candidates[rng.integers(len(candidates))]

    return choose


def random_requantize(rng: np.random.Generator, mode: Mode, channels: int, products: int) -> FixedRequantize | FloatRequantize:
    """A requantization that spreads sums of `products` random int8 products over int8, and saturates some."""
    real = rng.uniform(0.5, 1.5, channels if rng.random() < 0.7 else 1) * 40 / (74 * 74 * np.sqrt(products))
    low, high = [(-128, 127), (-100, 90)][rng.integers(2)]
    zero_point = low if rng.random() < 0.4 else int(rng.integers(low, high + 1))  # a ReLU's, or any
    return make_requantize(mode, real, zero_point, low, high)


def in_parts(stages: tuple[Stage, ...], parts: int) -> tuple[Stage, ...]:
    """The stages, divided where they can be."""
    divided = [split(stage.function, parts) if parts > 1 else None for stage in stages]
    return tuple(stage if f is None else dataclasses.replace(stage, function=f, parts=parts) for stage, f in zip(stages, divided, strict=True))


def check(operators: list[tuple[Operator, list[np.ndarray]]], rule: Rule, target: Target, tolerance: float = 0.0,
          choose: Choose = choose_default, parts: int = 1) -> None:
    """Every operator's stages give what the oracle gives: the same integers, floats within `tolerance` of the largest.

    parts: that stages are divided into where that is possible.
    """
    jobs = []
    for operator, inputs in operators:
        made = rule(operator, target, choose)
        assert made is not None, f"{rule.__module__} does not take {operator}"
        stages = made.stages if isinstance(made, Selection) else made
        jobs.append(Job(operator, in_parts(stages, parts), inputs))
    for job, got in zip(jobs, run_jobs(jobs, target), strict=True):
        want = evaluate(job.operator, *job.inputs)
        kernels = [s.kernel for s in job.stages]
        assert got.dtype == want.dtype and got.shape == want.shape, (job.operator, kernels)
        wrong = np.abs(got.astype(np.float64) - want) > (tolerance * max(1.0, np.abs(want).max()) if want.dtype == np.float32 else 0)
        assert not wrong.any(), f"{int(wrong.sum())} of {want.size} elements, the first at {np.argwhere(wrong)[0]}: {kernels} of {job.operator}"
