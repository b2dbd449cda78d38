"""Chains of convolutions and dense layers in one kernel, band by band: low-rank factors without the values between them in memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nnc_tvm.schedules.candidates import Candidate, Selection, comparison
from nnc_tvm.schedules.epilogue import epilogue_constants
from nnc_tvm.schedules.isa import DotProduct
from nnc_tvm.schedules.operators import Chain, Operator
from nnc_tvm.schedules.operators.operator import ITEM_BYTES, WeightedSum
from nnc_tvm.schedules.rule import Choose, Stage
from nnc_tvm.schedules.rules import weight_forms
from nnc_tvm.schedules.rules.chain_kernel import chain_kernel
from nnc_tvm.schedules.rules.chain_plan import Bands, Link, Tiling, cut, images_of
from nnc_tvm.schedules.rules.contraction import bias_of, contraction_of, instructions_for, pack_weights, per_group
from nnc_tvm.schedules.rules.contraction_kernel import contraction_kernel
from nnc_tvm.schedules.rules.contraction_plan import COPY_COST, cheapest, make_plan, parts_of, turns, weight_bytes, x_layout

LOW_RANK, FUSED = "low-rank (fused)", "fused"
"""Their first words are those of schedules/forms.py."""
STREAM_COST = 0.02  # estimated instructions per byte of weights, which every step but the first reads again
TALLEST = 96  # rows of a band that is no whole part of the image
BLOCK_COST = 30.0  # estimated instructions before the first tile of a block of channels, in every step
SMALL = 1.01  # of the least cost: so much dearer a smaller band may be, whose scratch is smaller


@dataclass(frozen=True, eq=False)
class ChainCandidate(Candidate):
    """scratch_bytes: of the windows and bands. narrow: values between that make it low-rank.

    turns: of the loop that threads share best, where there is one.
    overwrites: whether the output may take the input's memory; overlap: as in Bands, the output may not take that of what is added.
    """

    scratch_bytes: int = 0
    overwrites: bool = False
    overlap: bool = False
    turns: int = 1
    narrow: int = 0


def stages(operator: Operator, target: Any, choose: Choose) -> Selection | None:
    """The rule for Chain."""
    taken = candidate(operator, target)
    return None if taken is None else selection(operator, taken, target, choose)


def selection(operator: Operator, taken: ChainCandidate, target: Any, choose: Choose) -> Selection | None:
    """The chain in the bands of `taken`, beside its links apart."""
    apart = separate(operator, target)
    return None if apart is None else Selection(taken, (apart,), comparison(taken, apart), choose)


def candidate(operator: Operator, target: Any) -> ChainCandidate | None:
    """The chain in the smallest bands that cost next to nothing; None for other operators, and where no band fits."""
    made = candidates(operator, target)
    least = min((c.cost for c in made), default=0.0)
    return min((c for c in made if c.cost <= SMALL * least), key=lambda c: c.scratch_bytes, default=None)


def candidates(operator: Operator, target: Any) -> list[ChainCandidate]:
    """The chain in bands of every height that is cheaper than all that need no more memory."""
    if not isinstance(operator, Chain):
        return []
    whole = [contraction_of(link) for link in operator.links]
    isas = [instructions_for(c, target.features) for c in whole if c is not None]
    made = {rows: bands for rows in sizes(images_of(operator)[-1][1]) if (bands := cut(operator, rows, target.threads == 1)) is not None}
    if not made or not all(isas) or len(isas) < len(operator.links):
        return []
    parts = [{isa: len(parts_of(c, isa)) for isa in able} for c, able in zip(whole, isas, strict=True) if c is not None]
    found = [in_bands(operator, rows, made, isas, parts, target) for rows in made]
    near = [c for c in found if c.scratch_bytes <= target.l1_bytes] or found  # beyond the first cache a band gains nothing
    front: list[ChainCandidate] = []
    for c in sorted(near, key=lambda c: (c.scratch_bytes, c.cost, c.overlap, not c.overwrites)):
        if all(c.cost < other.cost for other in front if other.overwrites >= c.overwrites and other.overlap <= c.overlap):
            front.append(c)
    return front


def in_bands(operator: Chain, rows: int, made: Mapping[int, Bands], isas: Sequence[tuple[DotProduct, ...]], parts: Sequence[Mapping[DotProduct, int]],
             target: Any) -> ChainCandidate:
    """The chain in bands of `rows`, unless another of the heights `made` is chosen. parts: as `cheapest` takes them, for each link."""
    kernels = [kernel_of(link, able, known, target) for link, able, known in zip(made[rows].links, isas, parts, strict=True)]
    narrow = narrow_values(operator)

    def build(choose: Choose) -> tuple[Stage, ...]:
        return (stage(operator, made[choose("rows", list(made), rows)], target, choose),)

    size = sum(kernel.weight_bytes for kernel in kernels)
    return ChainCandidate(LOW_RANK if narrow else FUSED, max(cost(made[rows], kernels), size * target.read_cost), size, build,
                          scratch_bytes(made[rows], kernels), made[rows].overwrites, made[rows].overlap, made[rows].turns(target.threads), narrow)


def sizes(rows: int) -> list[int]:
    """The heights of bands that are compared: few rows, whole register tiles of single pixels, and equal parts; all only where that is one row."""
    return [r for r in range(1, max(rows, 2)) if rows % r == 0 or r <= 8 or (r <= TALLEST and (r % 6 == 0 or r % 8 == 0))]


def separate(operator: Operator, target: Any) -> Candidate | None:
    """A kernel for every link, each in its best form: what a chain is compared with."""
    links = [weight_forms.best(link, target) for link in operator.links] if isinstance(operator, Chain) else []
    made = [link for link in links if link is not None]
    if not made or len(made) < len(links):
        return None
    return Candidate(" + ".join(link.form for link in made), sum(link.cost for link in made), sum(link.weight_bytes for link in made), lambda choose: ())


def narrow_values(chain: Chain) -> int:
    """How many of the values between links are those of low-rank factors."""
    return sum(is_narrow(first, second) for first, second in zip(chain.links, chain.links[1:], strict=False))


def is_narrow(first: WeightedSum, second: WeightedSum) -> bool:
    """Whether two layers are the factors of one whose rank is less than it could be."""
    rank = first.output.shape[-1]
    return rank < min(first.weight[0].size, second.output.shape[-1])


@dataclass(frozen=True, eq=False)
class Kernel:
    """How a link's band is computed, by `contraction_plan.cheapest`. cost: of a step; weight_bytes: as packed.

    again: what every step but the first costs more.
    """

    tiling: Tiling
    cost: float
    again: float
    weight_bytes: int


def kernel_of(link: Link, isas: tuple[DotProduct, ...], parts: Mapping[DotProduct, int], target: Any) -> Kernel:
    """The best kernel; `isas` are not empty. parts: as `cheapest` takes them."""
    found = cheapest(link.band, isas, target.optimize == "size", parts)
    assert found is not None
    estimate, isa, pixels, vectors = found
    *_, elements, copied = x_layout(link.band, isa, pixels)
    size = weight_bytes(link.band, isa, parts[isa], vectors)
    again = size * STREAM_COST + link.band.groups * math.ceil(link.band.group_channels / (vectors * isa.lanes)) * BLOCK_COST
    if turns(link.band, isa, parts[isa]) <= isa.short:  # LLVM keeps a block's weights where it can reach them all, on the stack
        again += 2 * size / (isa.lanes * ITEM_BYTES[isa.acc_dtype])
    return Kernel((isa, pixels), estimate - copied * elements * COPY_COST, again, size)


def cost(bands: Bands, kernels: Sequence[Kernel]) -> float:
    """Estimated instructions, in the unit of `tile_cost`."""
    moved = bands.links[-1].out_row * bands.links[-1].out_rows if bands.stores_parts else 0
    total = moved * COPY_COST
    for link, kernel in zip(bands.links, kernels, strict=True):
        copied = 0 if link.reads_source(kernel.tiling) else link.carry * link.pitch + link.step * link.row
        total += link.active * kernel.cost + bands.steps * copied * COPY_COST
    return total * bands.images + sum((bands.images * link.active - 1) * kernel.again for link, kernel in zip(bands.links, kernels, strict=True))


def scratch_bytes(bands: Bands, kernels: Sequence[Kernel]) -> int:
    return sum(t.bytes for t in bands.scratch([kernel.tiling for kernel in kernels]))


def of_link(choose: Choose, k: int) -> Choose:
    """`choose` for the decisions of link k."""
    return lambda name, candidates, default: choose(f"{name}_{k}", candidates, default)


def stage(operator: Chain, bands: Bands, target: Any, choose: Choose) -> Stage:
    """The kernel with its constants."""
    plans, kernels, constants = [], [], []
    for k, link in enumerate(bands.links):
        c = link.band
        plan = make_plan(c, instructions_for(c, target.features), of_link(choose, k), target.optimize == "size")
        assert plan is not None
        values = [per_group(v, c.groups, plan.channels) for v in (bias_of(c, plan.isa), *(v for _, v in epilogue_constants(c.epilogue, c.out[3])))]
        kernels.append(contraction_kernel(c, plan, values[1:], of_link(choose, k)))
        plans.append(plan)
        constants += [pack_weights(c, plan), *values]
    tilings = [(plan.isa, plan.tile.pixels) for plan in plans]
    function = chain_kernel(bands, tilings, kernels, operator.inputs[0], operator.output)
    name = f"{' | '.join(plan.name for plan in plans)} by {bands.rows} row{'s' * (bands.rows > 1)}"
    over = (0,) if bands.overwrites else ()
    if len(operator.inputs) == 1:
        return Stage(function, (0,), tuple(constants), operator.output, name, over, tuple(bands.scratch(tilings)))
    # each element of what is added is read just before the output's is written, if that is once; it may be the input, too
    over = over if bands.overlap else (*over, 1)
    return Stage(function.without_attr("tirx.noalias"), (0, 1), tuple(constants), operator.output, f"{name} + residual", over,
                 tuple(bands.scratch(tilings)))
