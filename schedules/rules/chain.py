"""Chains of convolutions and dense layers in one kernel, band by band: low-rank factors without the values between them in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nnc_tvm.schedules.candidates import Candidate, Selection, comparison, preferred
from nnc_tvm.schedules.operators import Chain, DepthwiseConv2d, Operator
from nnc_tvm.schedules.operators.operator import WeightedSum
from nnc_tvm.schedules.rule import Choose, Stage
from nnc_tvm.schedules.rules import depthwise, weight_forms
from nnc_tvm.schedules.rules.chain_kernel import chain_kernel
from nnc_tvm.schedules.rules.chain_links import Kernel, Means, means_of
from nnc_tvm.schedules.rules.chain_plan import Bands, cut, images_of
from nnc_tvm.schedules.rules.contraction_plan import COPY_COST

LOW_RANK, FUSED = "low-rank (fused)", "fused"
"""Their first words are those of schedules/forms.py."""
TALLEST = 96  # rows of a band that is no whole part of the image
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
    means = [found for link in operator.links if (found := means_of(link, target)) is not None]
    made = {rows: bands for rows in sizes(images_of(operator)[-1][1]) if (bands := cut(operator, rows, target.threads == 1)) is not None}
    if not made or len(means) < len(operator.links):
        return []
    every = [in_bands(operator, rows, made, means, target) for rows in made]
    near = [c for c in every if c.scratch_bytes <= target.l1_bytes] or every  # beyond the first cache a band gains nothing
    front: list[ChainCandidate] = []
    for c in sorted(near, key=lambda c: (c.scratch_bytes, c.cost, c.overlap, not c.overwrites)):
        if all(c.cost < other.cost for other in front if other.overwrites >= c.overwrites and other.overlap <= c.overlap):
            front.append(c)
    return front


def in_bands(operator: Chain, rows: int, made: Mapping[int, Bands], means: Sequence[Means], target: Any) -> ChainCandidate:
    """The chain in bands of `rows`, unless another of the heights `made` is chosen. means: of each link."""
    kernels = [m.estimate(link) for link, m in zip(made[rows].links, means, strict=True)]
    narrow = narrow_values(operator)

    def build(choose: Choose) -> tuple[Stage, ...]:
        return (stage(operator, made[choose("rows", list(made), rows)], means, choose),)

    size = sum(kernel.weight_bytes for kernel in kernels)
    return ChainCandidate(LOW_RANK if narrow else FUSED, max(cost(made[rows], kernels), size * target.read_cost), size, build,
                          scratch_bytes(made[rows], kernels), made[rows].overwrites, made[rows].overlap, made[rows].turns(target.threads), narrow)


def sizes(rows: int) -> list[int]:
    """The heights of bands that are compared: few rows, whole register tiles of single pixels, and equal parts; all only where that is one row."""
    return [r for r in range(1, max(rows, 2)) if rows % r == 0 or r <= 8 or (r <= TALLEST and (r % 6 == 0 or r % 8 == 0))]


def separate(operator: Operator, target: Any) -> Candidate | None:
    """A kernel for every link, each in its best form: what a chain is compared with."""
    links = [best_form(link, target) for link in operator.links] if isinstance(operator, Chain) else []
    made = [link for link in links if link is not None]
    if not made or len(made) < len(links):
        return None
    return Candidate(" + ".join(link.form for link in made), sum(link.cost for link in made), sum(link.weight_bytes for link in made), lambda choose: ())


def best_form(layer: WeightedSum, target: Any) -> Candidate | None:
    """How a layer is computed by itself."""
    if isinstance(layer, DepthwiseConv2d):
        made = depthwise.candidates(layer, target)
        return preferred(made, target.optimize) if made else None
    return weight_forms.best(layer, target)


def narrow_values(chain: Chain) -> int:
    """How many of the values between links are those of low-rank factors: of fewer channels than the sums around them have terms and results.

    Depthwise links keep the channels apart, as between the dense factors of a CP decomposition: a value there is as narrow as those factors make it.
    """
    return sum(is_narrow(chain.links[:k], chain.links[k:]) for k in range(1, len(chain.links)))


def is_narrow(before: Sequence[WeightedSum], after: Sequence[WeightedSum]) -> bool:
    """Whether what the links `before` compute for those `after` has a rank less than it could be."""
    first = next((link for link in reversed(before) if not isinstance(link, DepthwiseConv2d)), None)
    second = next((link for link in after if not isinstance(link, DepthwiseConv2d)), None)
    return first is not None and second is not None and before[-1].output.shape[-1] < min(first.weight[0].size, second.output.shape[-1])


def cost(bands: Bands, kernels: Sequence[Kernel]) -> float:
    """Estimated instructions, in the unit of `tile_cost`."""
    moved = bands.links[-1].out_row * bands.links[-1].out_rows if bands.stores_parts else 0
    total = moved * COPY_COST
    for link, kernel in zip(bands.links, kernels, strict=True):
        copied = 0 if link.reads_source(kernel.reads) else link.carry * link.pitch / link.slots + link.step * link.row
        total += link.active * kernel.cost + bands.steps * copied * COPY_COST
    return total * bands.images + sum((bands.images * link.active - 1) * kernel.again for link, kernel in zip(bands.links, kernels, strict=True))


def scratch_bytes(bands: Bands, kernels: Sequence[Kernel]) -> int:
    return sum(t.bytes for t in bands.scratch([kernel.reads for kernel in kernels]))


def of_link(choose: Choose, k: int) -> Choose:
    """`choose` for the decisions of link k."""
    return lambda name, candidates, default: choose(f"{name}_{k}", candidates, default)


def stage(operator: Chain, bands: Bands, means: Sequence[Means], choose: Choose) -> Stage:
    """The kernel with its constants."""
    made = [m.make(link, of_link(choose, k)) for k, (link, m) in enumerate(zip(bands.links, means, strict=True))]
    reads = [kernel.reads for kernel in made]
    constants = tuple(array for kernel in made for array in kernel.constants)
    function = chain_kernel(bands, reads, [kernel.function for kernel in made], operator.inputs[0], operator.output)
    name = f"{' | '.join(kernel.name for kernel in made)} by {bands.rows} row{'s' * (bands.rows > 1)}"
    over = (0,) if bands.overwrites else ()
    scratch = tuple(bands.scratch(reads))
    if len(operator.inputs) == 1:
        return Stage(function, (0,), constants, operator.output, name, over, scratch)
    # each element of what is added is read just before the output's is written, if that is once; it may be the input, too
    over = over if bands.overlap else (*over, 1)
    return Stage(function.without_attr("tirx.noalias"), (0, 1), constants, operator.output, f"{name} + residual", over, scratch)
