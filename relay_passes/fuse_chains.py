"""Layers one after the other become one kernel where that is not slower: first those that make the arena smaller, then all low-rank factors.

A value that one layer alone reads need not be whole in memory. Which of a run of layers are taken together decides what the run needs at its
fullest step; of the ways that need the least of the whole program, the one that leaves the most values of low-rank factors out is taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from nnc_tvm.relay_passes.live_bytes import LiveBytes
from nnc_tvm.relay_passes.program import Layer, ScheduledLayer, ScheduledProgram
from nnc_tvm.relay_passes.split_kernels import split_kernels
from nnc_tvm.schedules.operators import Chain, Conv2d, Dense, DepthwiseConv2d
from nnc_tvm.schedules.operators.operator import WeightedSum
from nnc_tvm.schedules.parallel import shares_well
from nnc_tvm.schedules.rule import Choose, choose_default
from nnc_tvm.schedules.rules import chain
from nnc_tvm.schedules.rules.chain_plan import is_pointwise, may_be_link
from nnc_tvm.targets.base import Target

LONGEST = 4  # layers in one kernel
FAR = 1.025  # of the estimated cost of a kernel that reads from beyond the first cache, measured
TOLERABLE = 1.03  # of it, where the arena becomes smaller
SMALLER = 0.9  # of the arena: less gain is not worth kernels that would be slower but for what lies beyond the first cache
NOT_SLOWER = 1.01  # of the layers' estimated cost: estimates of the same tiles in other loops are about as exact

# of the weights of the layers apart, those of a kernel of several: it holds bytes where they may store four bits, or leave zeros out
WEIGHTS = {"size": 1.0, "balanced": 1.25}


@dataclass(frozen=True, eq=False)
class Part:
    """Layers [start, end) of a program, in one kernel where there is a `candidate`.

    bytes: live at their fullest step. dearer: whether it is estimated to be, but for what it spares the caches.
    narrow, wide: values of low-rank factors and others that are left out.
    """

    start: int
    end: int
    bytes: int
    cost: float = 0.0
    dearer: bool = False
    narrow: int = 0
    wide: int = 0
    candidate: chain.ChainCandidate | None = None

    @property
    def merit(self) -> tuple[int, int, float]:
        """Of parts that fit: the less the better."""
        return -self.narrow, self.wide, self.cost


def fuse_chains(scheduled: ScheduledProgram, target: Target, choose: Choose = choose_default) -> ScheduledProgram:
    """The pass: the same outputs; layers that are left as they were keep their kernels. The very same object where nothing is fused.

    Where bands follow each other several threads have nothing to share: they take the layers apart, unless size is what counts.
    """
    live = LiveBytes(split_kernels(scheduled, target.threads))
    parts = {run.start: list(parts_of(scheduled, run, live, target)) for run in runs(scheduled)}
    inside = {k for made in parts.values() for part in made for k in range(part.start, part.end)}
    others = max((live.of_layer(k) for k in range(len(scheduled.layers)) if k not in inside), default=0)
    cheap = {start: [part for part in made if not part.dearer] for start, made in parts.items()}
    tight, most = (max([others, *(least_bytes(made) for made in runs_.values())]) for runs_ in (parts, cheap))
    most = tight if tight <= SMALLER * most else most
    suited = [cheap[start] if least_bytes(cheap[start]) <= most else made for start, made in parts.items()]
    taken = [part for made in suited for part in best_parts(made, most) if part.candidate is not None]
    return apply(scheduled, taken, target, choose) if taken else scheduled


def suits_threads(made: chain.ChainCandidate, target: Target) -> bool:
    """Whether the target's threads share the chain as they share its layers, or size is what counts."""
    return target.threads == 1 or target.optimize == "size" or shares_well(made.turns, target.threads)


def runs(scheduled: ScheduledProgram) -> Iterator[range]:
    """Layers that follow each other, each of which alone reads what the one before it computes."""
    program, layers = scheduled.program, [s.layer for s in scheduled.layers]
    readers = [name for layer in layers for name in layer.inputs] + list(program.outputs)
    start = 0
    for k, layer in enumerate(layers):
        before = layers[k - 1]
        follows = k > start and layer.inputs[:1] == (before.output,) and readers.count(before.output) == 1 and len(before.inputs) == 1
        if not (follows and is_link(layer) and layer.operator.inputs[0] == before.operator.output):
            if k - start > 1:
                yield range(start, k)
            start = k if is_link(layer) else k + 1
    if len(layers) - start > 1:
        yield range(start, len(layers))


def is_link(layer: Layer) -> bool:
    """Whether a kernel of several may have the layer in it; one that adds another tensor may be the last."""
    return isinstance(layer.operator, Conv2d | Dense | DepthwiseConv2d) and may_be_link(layer.operator)


def parts_of(scheduled: ScheduledProgram, run: range, live: LiveBytes, target: Target) -> Iterator[Part]:
    """Every layer of a run by itself, and the stretches that one kernel takes without being slower."""
    for start in run:
        layer = scheduled.layers[start]
        yield Part(start, start + 1, live.of_layer(start), layer.selection.taken.cost if layer.selection else 0.0)
        for end in range(start + 2, min(start + LONGEST, run.stop) + 1):
            yield from fused_parts(scheduled.layers[start:end], start, live, target)


def fused_parts(layers: Sequence[ScheduledLayer], start: int, live: LiveBytes, target: Target) -> Iterator[Part]:
    """`layers` in one kernel, in bands of several heights; none where they cannot be, may not be or would be slower."""
    links = chain_of(layers)
    if any(layer.selection is None for layer in layers):
        return
    narrow = chain.narrow_values(links)
    if not narrow and not all(is_pointwise(link) or isinstance(link, DepthwiseConv2d) for link in links.links):
        return  # as fast as other layers' best forms they are seldom
    source, end = layers[0].layer.inputs[0], start + len(layers)
    result = live.of_value(layers[-1].layer.output)
    for made in chain.candidates(links, target):
        if made.form.split()[0] in target.forms and suits_threads(made, target) and is_worth(made, layers, target):
            scratch = made.scratch_bytes if made.turns == 1 else target.threads * made.scratch_bytes
            dearer = made.cost > NOT_SLOWER * sum(layer.selection.taken.cost for layer in layers if layer.selection is not None)
            over = made.overwrites and live.dies(source, end - 1) and result == live.of_value(live.owner(source))
            over |= not made.overlap and any(live.dies(name, end - 1) for name in layers[-1].layer.inputs[1:] if name != source)
            yield Part(start, end, live.before(start) + scratch + (0 if over else result), made.cost, dearer, narrow, len(layers) - 1 - narrow, made)


def is_worth(made: chain.ChainCandidate, layers: Sequence[ScheduledLayer], target: Target) -> bool:
    """Whether it is hardly slower than the layers apart, nor much larger unless speed is what counts."""
    apart = [(layer, layer.selection.taken) for layer in layers if layer.selection is not None]
    if made.weight_bytes > WEIGHTS.get(target.optimize, math.inf) * sum(taken.weight_bytes for _, taken in apart):
        return False
    near = made.scratch_bytes <= target.l1_bytes
    cost = sum(taken.cost * (FAR if near and copies_far(layer, target) else 1) for layer, taken in apart)
    return made.cost <= TOLERABLE * cost


def copies_far(layer: ScheduledLayer, target: Target) -> bool:
    """Whether the layer's kernel reads a copy of its input that leaves the first cache, once for every block of channels."""
    return any(stage.output.bytes > target.l1_bytes for stage in layer.stages[:-1])


def chain_of(layers: Sequence[ScheduledLayer]) -> Chain:
    links: list[WeightedSum] = []
    for layer in layers:
        assert isinstance(layer.layer.operator, WeightedSum)
        links.append(layer.layer.operator)
    return Chain.of(*links)


def least_bytes(parts: Sequence[Part]) -> int:
    """What the fullest part of the best division of a run needs."""
    least = {min(part.start for part in parts): 0}
    for part in sorted(parts, key=lambda p: p.end):
        needed = max(least[part.start], part.bytes)
        least[part.end] = min(least.get(part.end, needed), needed)
    return least[max(part.end for part in parts)]


def best_parts(parts: Sequence[Part], most: int) -> tuple[Part, ...]:
    """The division of a run into parts of at most `most` bytes with the most merit."""
    best: dict[int, tuple[tuple[float, ...], tuple[Part, ...]]] = {min(part.start for part in parts): ((0, 0, 0.0), ())}
    for part in sorted((p for p in parts if p.bytes <= most), key=lambda p: p.end):
        if part.start in best:
            merits, before = best[part.start]
            found = (tuple(a + b for a, b in zip(merits, part.merit, strict=True)), (*before, part))
            best[part.end] = min(best.get(part.end, found), found, key=lambda f: f[0])
    return best[max(part.end for part in parts)][1]


def apply(scheduled: ScheduledProgram, parts: Sequence[Part], target: Target, choose: Choose) -> ScheduledProgram:
    """`scheduled` with a layer for each of `parts`."""
    starts = {part.start: part for part in parts}
    gone = {scheduled.layers[k].layer.output for part in parts for k in range(part.start, part.end - 1)}
    layers: list[ScheduledLayer] = []
    k = 0
    while k < len(scheduled.layers):
        part = starts.get(k)
        layers.append(scheduled.layers[k] if part is None else fused_layer(scheduled.layers[k:part.end], part, target, choose))
        k = part.end if part is not None else k + 1
    values = {name: value for name, value in scheduled.program.values.items() if name not in gone}
    return ScheduledProgram(replace(scheduled.program, values=values, layers=tuple(s.layer for s in layers)), tuple(layers))


def fused_layer(layers: Sequence[ScheduledLayer], part: Part, target: Target, choose: Choose) -> ScheduledLayer:
    """One layer under the name of the last, with its kernel."""
    first, last = layers[0].layer, layers[-1].layer
    operator = chain_of(layers)
    assert part.candidate is not None
    selection = chain.selection(operator, part.candidate, target, choose)
    assert selection is not None
    names = " and ".join(f"'{layer.layer.name}'" for layer in layers[:-1])
    notes = [f"with {names} before it, whose results are never whole in memory", *(layer.layer.note for layer in layers if layer.layer.note)]
    forms = " ".join(dict.fromkeys(layer.layer.form for layer in layers if layer.layer.form != "dense")) or "dense"
    layer = Layer(last.name, operator, (first.inputs[0], *last.inputs[1:]), last.output, "; ".join(notes), forms)
    return ScheduledLayer(layer, selection.stages, selection)
