"""What of the NPU's cycles the compiler earns and what the array: networks on the NNC-1, and on a control whose array is like an Ethos-U55-128's.

usage: python benchmarks/npu_control.py MODEL:CYCLES:SRAM ...

CYCLES: what Vela 5.2 estimates for an Ethos-U55-128 in SRAM bytes of scratchpad (docs/npu.md has those of a few networks). The control has
that array's shape, depthwise rate and rate of sums, multiplies zeros and is charged for a codec of Vela's size (targets/npu/config.py), so that
its ratio to Vela is the compiler's alone. Every figure is the emulator's, which must be the compiler's own estimate. Ends with 1 where the
control takes more than 0.90 of Vela's cycles or leaves multiplications to the host.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

NNC = pathlib.Path(sys.executable).parent / "nnc-tvm"
MOST = 0.90


def measured(model: str, sram: str, array: str, folder: pathlib.Path) -> dict[str, Any]:
    """The figures of `nnc-tvm bench` on the array `array`."""
    options = ("--target", "npu", "--requantize", "fixed", "--npu", f"array={array},sram={sram}")
    subprocess.run([NNC, "compile", model, "-o", folder, *options], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    found: dict[str, Any] = json.loads(subprocess.run([NNC, "bench", folder, "--json"], check=True, capture_output=True, text=True).stdout)
    assert found["npu_cycles"] == found["npu_cycles_estimated"], "the compiler's clock is not the device's"
    return found


def main() -> int:
    print("| network | SRAM | Vela | control | of Vela's | NNC-1 | of the control's | MACs on the host |\n|---|---|---|---|---|---|---|---|")
    worst = 0.0
    with tempfile.TemporaryDirectory(prefix="nnc-control-") as work:
        for number, argument in enumerate(sys.argv[1:]):
            model, cycles, sram = argument.rsplit(":", 2)
            control, own = (measured(model, sram, array, pathlib.Path(work, f"{array}{number}")) for array in ("u55", "nnc1"))
            ratio, host = control["npu_cycles"] / int(cycles), max(control["npu_host_macs"], own["npu_host_macs"])
            worst = max(worst, ratio if host == 0 else float("inf"))
            print(f"| {pathlib.Path(model).stem} | {sram} | {cycles} | {control['npu_cycles']} | {ratio:.2f} | {own['npu_cycles']} | "
                  f"{own['npu_cycles'] / control['npu_cycles']:.2f} | {host} |", flush=True)
    return int(worst > MOST)


if __name__ == "__main__":
    sys.exit(main())
