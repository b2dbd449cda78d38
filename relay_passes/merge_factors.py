"""Low-rank factors whose rank is too high are multiplied back: one layer where its estimated cost is less than theirs, however they are computed.

Floats, whose sums are then rounded in another order (of float32 by some 2^-24 of the terms), may be merged always; integers where the product
computes the same ones, or where the target says that a requantization may be left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nnc_tvm.relay_passes.factors import Product, is_factor, product
from nnc_tvm.relay_passes.fuse_chains import LONGEST, suits_threads
from nnc_tvm.relay_passes.grouped import Sum
from nnc_tvm.relay_passes.program import Layer, Program
from nnc_tvm.schedules.candidates import GROWTH, WORTH, Candidate
from nnc_tvm.schedules.forms import MERGED
from nnc_tvm.schedules.operators import Chain
from nnc_tvm.schedules.rules import chain
from nnc_tvm.targets.base import Target

CLEAR = 0.95  # of the factors' cost: estimates are no more exact


@dataclass(frozen=True, eq=False)
class Part:
    """Layers [start, end) of a stretch and how they are computed: form, cost and bytes as in Candidate.

    product: where they become one layer; instead: how they would be computed otherwise.
    """

    start: int
    end: int
    cost: float
    weight_bytes: int
    form: str
    product: Product | None = None
    instead: Candidate | None = None


def merge_factors(program: Program, target: Target) -> Program:
    """The pass. Merged layers have the last factor's name; the very same object where nothing is merged."""
    if MERGED.split()[0] not in target.forms:
        return program
    made: dict[str, Layer] = {}
    gone: set[str] = set()
    for stretch in stretches(program):
        for part in merged_parts([o for layer in stretch if isinstance(o := layer.operator, Sum)], target):
            factors = stretch[part.start:part.end]
            made[factors[-1].output] = merged_layer(factors, part)
            gone |= {layer.output for layer in factors[:-1]}
    if not made:
        return program
    layers = tuple(made.get(layer.output, layer) for layer in program.layers if layer.output not in gone)
    return replace(program, layers=layers, values={name: value for name, value in program.values.items() if name not in gone})


def stretches(program: Program) -> Iterator[list[Layer]]:
    """Layers each of which alone reads what the one before it computes, with nothing but a requantization between them."""
    readers = Counter([*program.outputs, *(name for layer in program.layers for name in layer.inputs)])
    ending: dict[str, list[Layer]] = {}
    for layer in program.layers:
        before = ending.get(layer.inputs[0]) if layer.inputs else None
        if not isinstance(layer.operator, Sum):
            continue
        last = before[-1].operator if before else None
        if before and readers[layer.inputs[0]] == 1 and isinstance(last, Sum) and is_factor(last, layer.operator):
            ending[layer.output] = [*ending.pop(layer.inputs[0]), layer]
        else:
            ending[layer.output] = [layer]
    yield from (stretch for stretch in ending.values() if len(stretch) > 1)


def merged_parts(factors: Sequence[Sum], target: Target) -> list[Part]:
    """The parts of the cheapest division of a stretch that are merged, each clearly cheaper than the best division without it."""
    apart = list(parts_of(factors, target))
    merged = [part for start in range(len(factors)) for end in range(start + 2, len(factors) + 1)
              if (part := merged_part(factors, start, end, apart, target)) is not None]
    return [part for part in cheapest([*apart, *merged], 0, len(factors)) if part.product is not None]


def parts_of(factors: Sequence[Sum], target: Target) -> Iterator[Part]:
    """Every factor by itself, and several in one kernel, which holds nothing whole between them."""
    for start, factor in enumerate(factors):
        best = chain.best_form(factor, target)
        if best is not None:
            yield Part(start, start + 1, best.cost, best.weight_bytes, best.form)
        for end in range(start + 2, min(start + LONGEST, len(factors)) + 1):
            made = chain.candidate(Chain.of(*factors[start:end]), target)
            if made is not None and made.form.split()[0] in target.forms and suits_threads(made, target):
                yield Part(start, end, made.cost, made.weight_bytes, made.form)


def merged_part(factors: Sequence[Sum], start: int, end: int, apart: Sequence[Part], target: Target) -> Part | None:
    """Factors [start, end) as one layer; None where there is no such layer, or where it is not clearly cheaper or too large for the package's purpose."""
    together = product(factors[start:end], target.merge_factors)
    best = chain.best_form(together.layer, target) if together is not None else None
    if best is None:
        return None
    usual = cheapest(apart, start, end)
    instead = Candidate(" + ".join(p.form for p in usual), sum(p.cost for p in usual), sum(p.weight_bytes for p in usual), lambda choose: ())
    larger = best.weight_bytes > (1.0 if target.optimize == "size" else GROWTH) * instead.weight_bytes
    limit = CLEAR if not larger else WORTH if target.optimize == "speed" else 0.0
    return Part(start, end, best.cost, best.weight_bytes, best.form, together, instead) if best.cost < limit * instead.cost else None


def cheapest(parts: Sequence[Part], start: int, end: int) -> list[Part]:
    """The division of [start, end) with the least cost."""
    best: dict[int, tuple[float, list[Part]]] = {start: (0.0, [])}
    for part in sorted((p for p in parts if start <= p.start and p.end <= end), key=lambda p: (p.end, p.start)):
        if part.start in best:
            cost, before = best[part.start]
            if part.end not in best or cost + part.cost < best[part.end][0]:
                best[part.end] = cost + part.cost, [*before, part]
    return best[end][1]


def merged_layer(factors: Sequence[Layer], part: Part) -> Layer:
    """The layer of a merged part, under the last factor's name."""
    assert part.product is not None and part.instead is not None
    names = " and ".join(f"'{layer.name}'" for layer in factors[:-1])
    differs = "" if part.product.exact else "; sums are rounded in another order" if part.product.layer.weight.dtype == np.float32 else (
        "; differs from the model by the requantization between them, which is left out, and by weights rounded anew")
    notes = [f"multiplied with {names} before it{differs}", *(layer.note for layer in factors if layer.note)]
    forms = " ".join(dict.fromkeys([MERGED, *(layer.form for layer in factors if layer.form != "dense")]))
    return Layer(factors[-1].name, part.product.layer, factors[0].inputs, factors[-1].output, "; ".join(notes), forms, (part.instead,))
