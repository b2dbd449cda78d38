"""What an emulated NPU counts while a package runs."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

from nnc_tvm.package.manifest import Manifest
from nnc_tvm.run.runner import build_runner

COUNTERS = ("cycles", "array", "stall_flash", "stall_sram", "overhead", "sram_read", "sram_written", "dma_written", "flash_read",
            "host_read", "host_written", "macs", "macs_skipped", "jobs", "dmas", "sram_peak", "fault", "fault_word")
"""nnc_npu_counters of nnc_npu.h, in order."""

ARGUMENTS = "const void *a, uint32_t an, const void *b, uint32_t bn, void *c, uint32_t cn, const void *d, uint32_t dn, uint64_t *counters"
WRAPPER = f"""#include <stdint.h>
#include <stdio.h>
int32_t __real_nnc_npu_run({ARGUMENTS});
int32_t __wrap_nnc_npu_run({ARGUMENTS});
int32_t __wrap_nnc_npu_run({ARGUMENTS})
{{
    uint64_t counted[{len(COUNTERS)}] = {{0}};
    const int32_t result = __real_nnc_npu_run(a, an, b, bn, c, cn, d, dn, counted);
    int i;
    (void)counters;
    for (i = 0; i < {len(COUNTERS)}; i++) printf("%llu ", (unsigned long long)counted[i]);
    printf("\\n");
    return result;
}}
"""


def npu_counters(folder: pathlib.Path, work: pathlib.Path, manifest: Manifest, files: Sequence[pathlib.Path]) -> dict[str, Any]:
    """Of one inference on the inputs in `files`, all the device's networks together; the peak of SRAM is that of the largest.

    npu_host_macs: multiply-accumulates that the CPU does because the device does not take their layers; no cycles are counted for those.
    Empty for packages without an NPU.
    """
    info = manifest.npu
    if info is None:
        return {}
    (work / "npu").mkdir()
    (work / "npu" / "npu_counters.c").write_text(WRAPPER)
    runner = build_runner(folder, work / "npu", ["npu_counters.c", "-Wl,--wrap=nnc_npu_run"])
    runs = [list(map(int, line.split())) for line in runner.run("repeat", 1, files).stdout.splitlines()]
    counted = {name: sum(run[at] for run in runs) for at, name in enumerate(COUNTERS)}
    counted["sram_peak"] = max((run[COUNTERS.index("sram_peak")] for run in runs), default=0)
    names = {"sram_peak": "sram_peak_bytes"}
    return {
        **{f"npu_{names.get(name, name)}": value for name, value in counted.items()}, "npu_cycles_estimated": info.cycles,
        "npu_host_macs": sum(layer.macs for layer in manifest.layers) - info.macs,
        "npu_macs_per_cycle": info.macs_per_cycle, "npu_sram_bytes_per_cycle": info.sram_bytes_per_cycle,
        "npu_flash_bytes_per_cycle": info.flash_bytes_per_cycle,
    }
