"""Sums of a convolution's output and another tensor become part of the convolution, which adds before it stores."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from nnc_tvm.relay_passes.program import Layer, Program
from nnc_tvm.schedules.candidates import Candidate, Selection, preferred
from nnc_tvm.schedules.operators import Conv2d, LinearCombination, Operator
from nnc_tvm.schedules.quantization import FixedRequantize, FloatRequantize
from nnc_tvm.schedules.rule import Choose, choose_default
from nnc_tvm.targets.base import Target

WAY_COST = 0.2  # estimated instructions that an element takes more where what it is computed from goes through memory


def fuse_residuals(program: Program, target: Target, choose: Choose = choose_default) -> Program:
    """`program` with every sum fused where the convolution takes no more for it than the sum apart; the integers are the same.

    Of the sum's tensors the convolution makes the later one, and nothing else reads it. The layer has the sum's name, whose values it computes.
    Sums whose three tensors stay in the first cache are left alone: fusing spares no instruction, only the way to memory.
    """
    readers = Counter([*program.outputs, *(name for layer in program.layers for name in layer.inputs)])
    numbers = {layer.output: number for number, layer in enumerate(program.layers)}
    layers: dict[int, Layer] = dict(enumerate(program.layers))
    values = dict(program.values)
    for number, layer in enumerate(program.layers):
        if not isinstance(layer.operator, LinearCombination) or 3 * layer.operator.output.bytes <= target.l1_bytes:
            continue
        side = max((0, 1), key=lambda k: numbers.get(layer.inputs[k], -1))
        at = numbers.get(layer.inputs[side], -1)
        source = layers.get(at)
        if source is None or readers[layer.inputs[side]] > 1:
            continue
        operator = fused(source.operator, layer.operator, side)
        if operator is not None and worth_fusing(source.operator, operator, target, choose):
            notes = "; ".join(note for note in (f"with {source.name}", source.note) if note)
            layers[at] = Layer(layer.name, operator, (*source.inputs, layer.inputs[1 - side]), layer.output, notes, source.form, source.instead)
            del layers[number], values[source.output]
    return replace(program, layers=tuple(layer for _, layer in sorted(layers.items())), values=values)


def fused(source: Operator, total: LinearCombination, side: int) -> Conv2d | None:
    """The convolution `source` with `total`, whose input number `side` it is; None for what is no such convolution or repeats a tensor."""
    if not isinstance(source, Conv2d) or source.residual is not None or not isinstance(source.epilogue, FixedRequantize | FloatRequantize):
        return None
    if any(t != total.output for t in total.inputs) or source.epilogue.zero_point != total.zero_points[side]:
        return None
    if side == 1:
        total = replace(total, inputs=total.inputs[::-1], zero_points=total.zero_points[::-1], factors=total.factors[::-1], shifts=total.shifts[::-1])
    return replace(source, inputs=(*source.inputs, total.inputs[1]), output=total.output, residual=total)


def worth_fusing(apart: Operator, fused: Operator, target: Target, choose: Choose) -> bool:
    """Whether `fused`, which computes more than `apart` of its sums, has the same rule, and a form as good for the package: not all forms take everything."""
    before, after = taken(apart, target, choose), taken(fused, target, choose)
    if before is None or after is None or before[0] != after[0]:
        return False
    if before[1] is None or after[1] is None:
        return before[1] is after[1]
    kept = replace(before[1], cost=before[1].cost + WAY_COST * fused.output.elements)
    return preferred([kept, after[1]], target.optimize) is after[1]


def taken(operator: Operator, target: Target, choose: Choose) -> tuple[int, Candidate | None] | None:
    """(number of the rule that takes the operator, the form it chooses of several); None where none does."""
    for number, rule in enumerate(target.rules):
        made = rule(operator, target, choose)
        if made is not None:
            return number, made.taken if isinstance(made, Selection) else None
    return None
