"""A few mutations of every kind; `python tests/fuzz/fuzz_models.py 20000` runs many."""

from __future__ import annotations

import pytest

from tests.fuzz.fuzz_models import fuzz

pytest.importorskip("onnxruntime", reason="the dialects' models are typed by ONNX Runtime")


def test_mutated_models_compile_or_are_refused() -> None:
    seed, count = 20261126, 150
    print("seed", seed)
    outcomes, failures = fuzz(count, seed)
    assert not failures, failures[0]
    assert outcomes["refused"] > 0 and sum(outcomes.values()) == count
