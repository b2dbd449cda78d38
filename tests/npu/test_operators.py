"""Every operation of the emulated NNC-1 against the oracle, on random shapes, tiles, pitches and flags."""

from __future__ import annotations

import numpy as np
import pytest

from nnc_tvm.targets.npu.clock import timeline
from nnc_tvm.targets.npu.config import Config
from tests.kernels.cases import random_generator
from tests.npu.cases import KINDS, read_image
from tests.npu.device import run


@pytest.mark.parametrize(("kind", "count"), [("convolution", 300), ("pooling", 150), ("addition", 60), ("table", 20), ("softmax", 30)])
def test_equals_the_oracle(kind: str, count: int) -> None:
    rng = random_generator()
    for number in range(count):
        case = KINDS[kind](rng)
        before = case.sram.copy()
        reason, counters = run(case.stream, case.flash, case.sram)
        assert reason == "OK", (number, reason, counters["fault_word"], case.operator)
        wrong = read_image(case.sram, case.output) != case.expected
        assert not wrong.any(), (number, int(wrong.sum()), np.argwhere(wrong)[0], case.operator)
        assert counters["sram_peak"] <= case.sram.size and counters["jobs"] == 1
        assert counters["cycles"] == timeline(case.commands, Config())[1], (number, case.commands)
        assert counters["cycles"] >= counters["array"] + counters["stall_flash"] + counters["stall_sram"] + counters["overhead"] > 0
        assert (case.sram[:16] == before[:16]).all() and (case.sram[-8:] == before[-8:]).all()
