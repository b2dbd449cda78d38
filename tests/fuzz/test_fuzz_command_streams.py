"""A short run of the fuzzer of command streams."""

from __future__ import annotations

from tests.fuzz.fuzz_command_streams import fuzz, small_streams
from tests.kernels.cases import random_generator


def test_mutated_streams_are_refused_or_run_in_bounds() -> None:
    seed = int(random_generator().integers(1 << 31))
    outcomes = fuzz(5000, seed, small_streams(seed))
    assert sum(outcomes.values()) == 5000
    assert outcomes["OK"] and outcomes["CHECKSUM"] and outcomes["BOUNDS"] and outcomes["COMMAND"], outcomes
