"""A short run of the fuzzer of command streams."""

from __future__ import annotations

from tests.fuzz.fuzz_command_streams import fuzz
from tests.kernels.cases import random_generator


def test_mutated_streams_are_refused_or_run_in_bounds() -> None:
    outcomes = fuzz(5000, int(random_generator().integers(1 << 31)))
    assert sum(outcomes.values()) == 5000
    assert outcomes["OK"] and outcomes["CHECKSUM"] and outcomes["BOUNDS"] and outcomes["COMMAND"], outcomes
