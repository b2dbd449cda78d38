"""Convolution and dense layers in the form that suits their weights: every form that can be is compared with the others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nnc_tvm.schedules.candidates import Candidate, Selection, preferred, select
from nnc_tvm.schedules.forms import DENSE
from nnc_tvm.schedules.operators import Operator
from nnc_tvm.schedules.rule import Choose
from nnc_tvm.schedules.rules import block_sparse, contraction, int4, int4_blocks, n_of_m, pixel_sparse, window_sparse, winograd
from nnc_tvm.schedules.rules.at_run_time import at_run_time, prepared, rows_of

CANDIDATES = (
    contraction.candidate, winograd.candidate, block_sparse.candidate, pixel_sparse.candidate, int4.candidate, int4_blocks.candidate, n_of_m.candidate,
    window_sparse.candidate,
)
"""candidate(operator, target) -> Candidate | None. The dense form is the first; of several of one form the better is offered."""


def candidates(operator: Operator, target: Any) -> list[Candidate]:
    """The forms that `target` allows, the dense one first; none for other operators."""
    # the other forms are written in vectors, which C has none of, and their epilogues know no rows
    makers = CANDIDATES[:1] if "portable" in target.features or rows_of(operator) > 1 else CANDIDATES
    made = [with_reading(at_run_time(operator, candidate, target), target) for make in makers
            if (candidate := make(prepared(operator), target)) is not None]
    by_form: dict[str, list[Candidate]] = {}
    for candidate in made:
        if candidate.form in DENSE | target.forms:
            by_form.setdefault(candidate.form, []).append(candidate)
    return [min(alike, key=lambda c: (c.weight_bytes, c.cost) if target.optimize == "size" else (c.cost, c.weight_bytes)) for alike in by_form.values()]


def with_reading(candidate: Candidate, target: Any) -> Candidate:
    """`candidate`, whose weights have to be read in any case where the first cache does not hold them."""
    read = candidate.weight_bytes * target.read_cost if candidate.weight_bytes > target.l1_bytes else 0.0
    return replace(candidate, cost=max(candidate.cost, read))


def best(operator: Operator, target: Any) -> Candidate | None:
    """The form that a layer takes unless another is chosen."""
    made = candidates(operator, target)
    return preferred(made, target.optimize) if made else None


def stages(operator: Operator, target: Any, choose: Choose) -> Selection | None:
    """The rule for Conv2d and Dense."""
    made = candidates(operator, target)
    return select(made, target.optimize, choose) if made else None
