"""Proposals are cheaper, are of the costs that choose forms, and name what a layer lacks."""

from __future__ import annotations

import numpy as np
import pytest

from nnc_tvm.schedules.operators import Conv2d, Dense, TensorType
from nnc_tvm.schedules.proposals import WORTH, proposals, with_weight
from nnc_tvm.schedules.quantization import FloatClamp, make_requantize
from nnc_tvm.schedules.rules import weight_forms
from nnc_tvm.targets.base import Target
from nnc_tvm.targets.registry import get_target

CPUS = [("x86_cpu", "x86-64-v3"), ("arm_cpu", "cortex-a53"), ("arm_cpu", "cortex-a76")]
SEED = 3


def conv(channels: int, out: int, zeros: float = 0.0) -> Conv2d:
    """1x1 on 14x14 with scattered zeros."""
    rng = np.random.default_rng(SEED)
    weight = (rng.integers(1, 128, (out, 1, 1, channels)) * (rng.random((out, 1, 1, channels)) >= zeros)).astype(np.int16)
    return Conv2d((TensorType((1, 14, 14, channels), "int8"),), TensorType((1, 14, 14, out), "int8"), weight, np.zeros(out, np.int32),
                  make_requantize("float", 0.01, 0))


def cost_of(layer: Conv2d | Dense, target: Target) -> float:
    made = weight_forms.best(layer, target)
    assert made is not None
    return made.cost


@pytest.mark.parametrize("cpu", CPUS, ids=["avx2", "a53", "a76"])
def test_all_are_cheaper_and_the_best_first(cpu: tuple[str, str]) -> None:
    target = get_target(*cpu)
    for layer in (conv(256, 256), conv(256, 250), conv(250, 256, 0.85)):
        cost = cost_of(layer, target)
        made = proposals(layer, cost, target)
        assert made == sorted(made, key=lambda p: p.cost) and all(p.cost < WORTH * cost and p.weight_bytes > 0 for p in made)
        assert made == proposals(layer, cost, target), "advice must not change from call to call"


@pytest.mark.parametrize("cpu", CPUS, ids=["avx2", "a53", "a76"])
def test_what_a_layer_lacks(cpu: tuple[str, str]) -> None:
    target = get_target(*cpu)
    whole = [p.change for p in proposals(conv(256, 256), cost_of(conv(256, 256), target), target)]
    assert any("pruned to 80% zeros" in change for change in whole) and any("of rank" in change for change in whole)
    pruned = [p.change for p in proposals(conv(256, 256, 0.85), cost_of(conv(256, 256, 0.85), target), target)]
    assert any(change.startswith("the 85% zeros in blocks") for change in pruned)
    odd = [p.change for p in proposals(conv(256, 65), cost_of(conv(256, 65), target), target)]
    assert any("64 output channels instead of 65" in change for change in odd)


def test_factors_pay_below_the_rank_that_is_named() -> None:
    """The rank proposed is cheaper than the layer; so is the largest that is said to be."""
    target, layer = get_target(*CPUS[0]), conv(256, 256)
    cost = cost_of(layer, target)
    change = next(p.change for p in proposals(layer, cost, target) if "of rank" in p.change)
    most = int(change.split()[-1])
    first = with_weight(layer, layer.weight[:most])
    second = with_weight(layer, np.ascontiguousarray(layer.weight[..., :most]), first.output)
    assert cost_of(first, target) + cost_of(second, target) < 1.05 * cost


def test_float_and_dense_layers() -> None:
    target = get_target(*CPUS[0])
    weight = np.random.default_rng(SEED).standard_normal((100, 200)).astype(np.float32)
    layer = Dense((TensorType((4, 200), "float32"),), TensorType((4, 100), "float32"), weight, np.zeros(100, np.float32), FloatClamp())
    made = proposals(layer, cost_of(layer, target), target)
    assert made and not any("4 bits" in p.change for p in made)
