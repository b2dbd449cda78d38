"""What would make a layer cheaper on a target: layers that its designer could have trained instead, with what these would cost.

The costs are those by which forms are chosen, so what is proposed is what the compiler would then make of it. Weights are drawn at random: only
where they are zero, and how large they are, counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nnc_tvm.schedules.candidates import Candidate
from nnc_tvm.schedules.operators import Chain, Conv2d, Dense, TensorType
from nnc_tvm.schedules.quantization import FloatClamp, FloatRequantize
from nnc_tvm.schedules.rules import chain, weight_forms

WORTH = 0.95  # of the cost now: less gain is not worth another network
SCATTERED = 0.3  # share of zeros from which on a layer counts as pruned
PRUNED = 0.8  # of a layer that is not, pruned as far as most networks stand
BLOCKS = ((4, 16), (8, 16), (4, 8), (4, 1))
"""Inputs by outputs."""
INT4 = 7
Sum = Conv2d | Dense


@dataclass(frozen=True)
class Proposal:
    """change: for people. cost: estimated instructions; weight_bytes: as packed; form: what the layer would become."""

    change: str
    cost: float
    weight_bytes: int
    form: str


def proposals(layer: Sum, cost: float, target: Any) -> list[Proposal]:
    """What makes `layer`, which costs `cost` now, cheaper by more than a little; the best first, one of each kind."""
    kinds = (narrower(layer, target), in_blocks(layer, target), of_lower_rank(layer, cost, target), of_4_bits(layer, target))
    best = [min(made, key=lambda p: p.cost) for kind in kinds if (made := [p for p in kind if p.cost < WORTH * cost])]
    return sorted(best, key=lambda p: p.cost)


def narrower(layer: Sum, target: Any) -> Iterator[Proposal]:
    """Channels rounded to what kernels waste nothing on."""
    multiple, (out, *window, inputs) = target.channel_multiple, layer.weight.shape
    for o, c in {(rounded(out, multiple), inputs), (out, rounded(inputs, multiple)), (rounded(out, multiple), rounded(inputs, multiple))}:
        if (o, c) == (out, inputs) or isinstance(layer, Conv2d) and layer.groups > 1:
            continue
        texts = [f"{new} {name} channels instead of {old}" for name, new, old in (("output", o, out), ("input", c, inputs)) if new != old]
        yield from proposal(", ".join(texts), target, with_weight(layer, random_weight(layer, (o, *window, c))))


def rounded(channels: int, multiple: int) -> int:
    """Down to a multiple; fewer stay as they are."""
    return channels // multiple * multiple or channels


def in_blocks(layer: Sum, target: Any) -> Iterator[Proposal]:
    """As many zeros as there are, or as pruning gives, together instead of scattered."""
    zeros = float((layer.weight == 0).mean())
    pruned = zeros >= SCATTERED
    share = zeros if pruned else PRUNED
    out, *window, inputs = layer.weight.shape
    for deep, wide in BLOCKS:
        grid = (-(-out // wide), *window, -(-inputs // deep))
        mask = (rng().random(grid) >= share).repeat(wide, 0).repeat(deep, -1)[:out, ..., :inputs]
        text = f"{'the' if pruned else 'pruned to'} {share:.0%} zeros in blocks of {deep} inputs by {wide} output{'s' * (wide > 1)}"
        yield from proposal(text, target, with_weight(layer, random_weight(layer, layer.weight.shape) * mask.astype(layer.weight.dtype)))


def of_lower_rank(layer: Sum, cost: float, target: Any) -> Iterator[Proposal]:
    """Two factors through fewer channels: half as many as where they begin to be cheaper."""
    if isinstance(layer, Conv2d) and layer.groups > 1:
        return
    multiple = target.channel_multiple
    below, above = 0, min(layer.weight.shape[0], layer.weight[0].size) // multiple
    while above - below > 1:  # the rank in units of the multiple: below it is cheaper, above it is not
        middle = (below + above) // 2
        cheaper = factored_cost(layer, middle * multiple, target).cost < WORTH * cost
        below, above = (middle, above) if cheaper else (below, middle)
    rank = below // 2 * multiple
    if rank:
        made = factored_cost(layer, rank, target)
        yield Proposal(f"two factors of rank {rank}; they pay up to rank {below * multiple}", made.cost, made.weight_bytes, made.form)


def factored_cost(layer: Sum, rank: int, target: Any) -> Candidate:
    """The cheaper of one kernel and two."""
    out, *window, inputs = layer.weight.shape
    first = with_weight(layer, random_weight(layer, (rank, *window, inputs)))
    second = with_weight(layer, random_weight(layer, (out, *[1] * len(window), rank)), first.output)
    pair = Chain.of(first, second)
    made = [candidate for candidate in (chain.candidate(pair, target), chain.separate(pair, target)) if candidate is not None]
    return min(made, key=lambda candidate: candidate.cost)


def of_4_bits(layer: Sum, target: Any) -> Iterator[Proposal]:
    """Smaller integers; zeros stay."""
    if layer.weight.dtype != np.float32 and np.abs(layer.weight).max(initial=0) > INT4:
        yield from proposal("weights of 4 bits", target, with_weight(layer, np.sign(layer.weight) * random_weight(layer, layer.weight.shape, INT4)))


def proposal(change: str, target: Any, layer: Sum) -> Iterator[Proposal]:
    """The layer in its best form."""
    made = weight_forms.best(layer, target)
    if made is not None:
        yield Proposal(change, made.cost, made.weight_bytes, made.form)


def rng() -> np.random.Generator:
    """The same numbers every time: advice does not change from call to call."""
    return np.random.default_rng(0)


def random_weight(layer: Sum, shape: tuple[int, ...], largest: int = 127) -> np.ndarray:
    """Without zeros, of the layer's type."""
    signs = rng().choice([-1, 1], shape)
    return np.asarray(signs * rng().integers(1, largest + 1, shape)).astype(layer.weight.dtype)


def with_weight(layer: Sum, weight: np.ndarray, source: TensorType | None = None) -> Sum:
    """A layer like `layer` with other weights; with a `source` it reads that, pixel by pixel. Nothing is added to it."""
    out, inputs = weight.shape[0], weight.shape[-1] * (layer.groups if isinstance(layer, Conv2d) else 1)
    shape = layer.inputs[0].shape if source is None else source.shape
    epilogue = FloatClamp() if weight.dtype == np.float32 else FloatRequantize(np.ones(1, np.float32), 0)
    made = replace(layer, inputs=(TensorType((*shape[:-1], inputs), layer.inputs[0].dtype),), weight=weight, bias=np.zeros(out, layer.bias.dtype),
                   output=TensorType((*layer.output.shape[:-1], out), layer.inputs[0].dtype), epilogue=epilogue)
    if isinstance(made, Conv2d):
        made = replace(made, residual=None)
        return made if source is None else replace(made, strides=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1))
    return made
