"""The choice of form: each way to store and compute a layer's weights says what it costs, and the best for the package's purpose is taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from nnc_tvm.schedules.forms import DENSE
from nnc_tvm.schedules.rule import Choose, Stage

GROWTH = 2.0  # "balanced" takes nothing whose weights are so many times the model's
NEAR = 1.1  # "balanced" pays so many times the least cost for fewer bytes: estimates are no better
SHORT = 256  # instructions, which "balanced" pays beyond that: a network's time is not in layers so short, its flash may be
SURE = 0.95  # of the least dense cost, for "speed": estimates of forms with zeros left out are no more exact
WORTH = 0.8  # of the dense cost: less gain is not worth weights that grow by more than GROWTH


@dataclass(frozen=True, eq=False)
class Candidate:
    """One form of a layer. form: its name in schedules/forms.py. cost: estimated instructions; weight_bytes: of the packed weights with their indices.

    build: the stages, with decisions by the given `choose`. model_bytes: of the weights as the model holds them, where those are not the dense form's.
    """

    form: str
    cost: float
    weight_bytes: int
    build: Callable[[Choose], tuple[Stage, ...]]
    model_bytes: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True, eq=False)
class Selection:
    """The form that was taken, and the `others` that were possible. why: for people. choose: decides within the form."""

    taken: Candidate
    others: tuple[Candidate, ...]
    why: str
    choose: Choose

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """Built when they are first asked for: who compares forms needs none."""
        return self.taken.build(self.choose)


def select(candidates: Sequence[Candidate], optimize: str, choose: Choose) -> Selection:
    """The best of `candidates`, the first of which is the dense form; or the one that `choose` names."""
    best = preferred(candidates, optimize)
    forms = [candidate.form for candidate in candidates]
    taken = candidates[forms.index(choose("form", forms, best.form))] if len(forms) > 1 else best
    return with_others(Selection(taken, (), "", choose), [candidate for candidate in candidates if candidate is not taken])


def with_others(selection: Selection, others: Sequence[Candidate]) -> Selection:
    """`selection` with what else was possible."""
    everything = (*selection.others, *others)
    return replace(selection, others=everything, why="; ".join(comparison(selection.taken, other) for other in everything))


def preferred(candidates: Sequence[Candidate], optimize: str) -> Candidate:
    """size: the fewest bytes. speed: the least cost, a dense form's unless another is surely less.

    balanced: the fewest bytes of those near the least cost that do not grow the weights.
    """
    if optimize == "size":
        return min(candidates, key=lambda c: (c.weight_bytes, c.cost))
    dense = candidates[0]
    usual = min([dense.weight_bytes, *(c.model_bytes for c in candidates if c.model_bytes is not None)])
    growing = WORTH * dense.cost if optimize == "speed" else 0.0
    allowed = [c for c in candidates if c.weight_bytes <= GROWTH * usual or c.cost < growing or (c is dense and optimize == "speed")]
    least = min(c.cost for c in allowed)
    if optimize == "speed":
        return min(allowed, key=lambda c: c.cost if c.form in DENSE else c.cost / SURE)
    return min((c for c in allowed if c.cost <= NEAR * least + SHORT), key=lambda c: (c.weight_bytes, c.cost))


def comparison(taken: Candidate, other: Candidate) -> str:
    """What the other form would take of the taken one's cost and bytes."""
    return f"{other.form} would take {other.cost / taken.cost:.2f} of the instructions, {other.weight_bytes / taken.weight_bytes:.2f} of the bytes"
