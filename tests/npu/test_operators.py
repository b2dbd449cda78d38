"""Every operation of the emulated NNC-1 against the oracle, on random shapes, tiles, pitches and flags."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nnc_tvm.targets.npu.clock import timeline
from nnc_tvm.targets.npu.commands import encode
from nnc_tvm.targets.npu.config import U55_LIKE, Config
from nnc_tvm.targets.npu.windowed import Conv, Pool
from tests.kernels.cases import random_generator
from tests.npu.cases import KINDS, convolution, read_image, write_image
from tests.npu.device import run


@pytest.mark.parametrize(("kind", "count"), [("convolution", 300), ("pooling", 150), ("addition", 60), ("multiplication", 100), ("table", 20), ("softmax", 30)])
def test_equals_the_oracle(kind: str, count: int) -> None:
    rng, sliced = random_generator(), 0
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
        sliced += isinstance(case.commands[-1], Conv) and case.commands[-1].slice > 0
    assert sliced > 10 or kind != "convolution"


@pytest.mark.parametrize("kind", ["convolution", "pooling"])
def test_overlap_that_is_allowed_is_safe(kind: str) -> None:
    """Outputs laid anywhere over their input: refused, or equal to the oracle."""
    rng, allowed = random_generator(), 0
    for number in range(400):
        case = KINDS[kind](rng)
        job = case.commands[-1]
        assert isinstance(job, Conv | Pool)
        if job.source.wrap or job.output.wrap or isinstance(job, Conv) and job.residual is not None:
            continue
        image, (read, written) = read_image(case.sram, job.source), (i.height * i.row for i in (job.source, job.output))
        source = replace(job.source, base=case.sram.size + written)
        output = replace(job.output, base=source.base + int(rng.integers(-written, read)))
        sram = np.concatenate([case.sram, np.zeros(2 * written + read, np.uint8)])
        write_image(sram, source, image)
        reason, _ = run(encode([*case.commands[:-1], replace(job, source=source, output=output)], Config(), sram.size, len(case.flash)), case.flash, sram)
        assert reason in ("OK", "OVERLAP"), reason
        if reason == "OK":
            allowed += int(output.base + written > source.base)
            assert (read_image(sram, output) == case.expected).all(), (number, job, output)
    assert allowed


def test_other_sizes_of_the_array() -> None:
    """A device built for 256 MAC a cycle refuses streams for 128, and keeps the compiler's time for its own."""
    rng, config = random_generator(), Config(macs_per_cycle=256)
    for _ in range(30):
        case = KINDS["convolution"](rng)
        assert run(case.stream, case.flash, case.sram, "-DNPU_MACS_PER_CYCLE=256")[0] == "CONFIG"
        reason, counters = run(encode(case.commands, config, case.sram.size, len(case.flash)), case.flash, case.sram, "-DNPU_MACS_PER_CYCLE=256")
        assert (reason, counters["cycles"]) == ("OK", timeline(case.commands, config)[1])
        assert (read_image(case.sram, case.output) == case.expected).all()


@pytest.mark.parametrize("kind", ["convolution", "pooling", "addition"])
def test_the_control_array(kind: str) -> None:
    """The U55-like device: the same integers, the compiler's time; masks and 4-bit weights are no commands of it."""
    rng, options, refused = random_generator(), U55_LIKE.defines, 0
    for number in range(60):
        case = convolution(rng, U55_LIKE) if kind == "convolution" else KINDS[kind](rng)
        reason, counters = run(encode(case.commands, U55_LIKE, case.sram.size, len(case.flash)), case.flash, case.sram, *options)
        assert (reason, counters["cycles"]) == ("OK", timeline(case.commands, U55_LIKE)[1]), (number, case.commands)
        assert (read_image(case.sram, case.output) == case.expected).all()
        other = KINDS[kind](rng)
        job = other.commands[-1]
        if isinstance(job, Conv) and (job.int4 or job.mask_bytes):
            assert run(encode(other.commands, U55_LIKE, other.sram.size, len(other.flash)), other.flash, other.sram, *options)[0] == "COMMAND"
            refused += 1
    assert refused or kind != "convolution"
