from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from nnc_tvm.schedules.candidates import Candidate, select
from nnc_tvm.schedules.rule import Stage, choose_default


def built(choose: Any) -> tuple[Stage, ...]:
    return ()


def form(name: str, cost: float, weight_bytes: int, model_bytes: int | None = None) -> Candidate:
    """cost: in thousands."""
    return Candidate(name, 1000 * cost, weight_bytes, built, model_bytes=model_bytes)


DENSE = form("dense", 100.0, 100)


@pytest.mark.parametrize(("optimize", "others", "taken"), [
    ("speed", [form("winograd", 79.0, 800)], "winograd"),
    ("speed", [form("winograd", 81.0, 800)], "dense"),  # too little gain for weights that large
    ("balanced", [form("winograd", 10.0, 201)], "dense"),
    ("balanced", [form("block", 90.0, 150), form("unstructured", 100.0, 20)], "block"),
    ("balanced", [form("int4", 109.0, 50)], "int4"),  # estimates are no better than that
    ("balanced", [form("int4", 111.0, 50)], "dense"),
    ("balanced", [form("int4", 200.0, 15, 15)], "int4"),  # dense would be more than twice the model's
    ("speed", [form("int4", 200.0, 15, 15)], "dense"),
    ("speed", [form("winograd", 50.0, 800), form("block", 47.0, 20)], "block"),
    ("speed", [form("winograd", 50.0, 800), form("block", 49.0, 20)], "winograd"),  # that might be slower
    ("size", [form("winograd", 1.0, 800), form("unstructured", 900.0, 20)], "unstructured"),
])
def test_the_best_for_the_purpose(optimize: str, others: list[Candidate], taken: str) -> None:
    selection = select([DENSE, *others], optimize, choose_default)
    assert selection.taken.form == taken
    assert {c.form for c in selection.others} == {"dense", *(c.form for c in others)} - {taken}


@pytest.mark.parametrize(("cost", "taken"), [(0.35, "int4"), (0.37, "dense")])
def test_short_layers_are_small_unless_they_take_many_instructions(cost: float, taken: str) -> None:
    assert select([form("dense", 0.1, 100), form("int4", cost, 50)], "balanced", choose_default).taken.form == taken


def test_a_choice_overrides_the_cost_and_is_explained() -> None:
    def choose(name: str, candidates: Sequence[Any], default: Any) -> Any:
        assert (name, list(candidates), default) == ("form", ["dense", "block"], "block")
        return "dense"

    selection = select([DENSE, form("block", 50.0, 20)], "speed", choose)
    assert selection.taken is DENSE and selection.why == "block would take 0.50 of the instructions, 0.20 of the bytes"


def test_comparing_forms_builds_none() -> None:
    built_with: list[Any] = []

    def build(choose: Any) -> tuple[Stage, ...]:
        built_with.append(choose)
        return ()

    selection = select([Candidate("dense", 1.0, 1, build), Candidate("block", 2.0, 2, build)], "speed", choose_default)
    assert selection.taken.form == "dense" and not built_with
    assert selection.stages == selection.stages == () and built_with == [choose_default]
