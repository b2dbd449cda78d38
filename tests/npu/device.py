"""The emulated NNC-1, built from its C sources and called from Python."""

from __future__ import annotations

import ctypes
import functools
import pathlib
import subprocess
import tempfile

import numpy as np

RUNTIME = pathlib.Path(__file__).resolve().parents[2] / "targets" / "npu" / "runtime"
SOURCES = sorted(map(str, RUNTIME.glob("*.c")))
STRICT = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{RUNTIME}")
TRAP = ("-fsanitize=undefined", "-fsanitize-undefined-trap-on-error")
COUNTERS = ("cycles", "array", "stall_flash", "stall_sram", "overhead", "sram_read", "sram_written", "dma_written", "flash_read",
            "host_read", "host_written", "macs", "macs_skipped", "jobs", "dmas", "sram_peak", "fault", "fault_word")
REASONS = ("OK", "ARGUMENT", "MAGIC", "VERSION", "CONFIG", "LENGTH", "CHECKSUM", "SRAM", "FLASH", "COMMAND", "END", "IMAGE", "BOUNDS", "WAIT", "RANGE",
           "BUFFER", "OVERLAP", "HAZARD", "CODEC", "WEIGHTS", "PARAMETERS", "OVERFLOW", "DEVICE")


@functools.cache
def library(*options: str) -> ctypes.CDLL:
    """Built with `options` of the compiler; undefined behaviour ends the process."""
    folder = tempfile.TemporaryDirectory(prefix="nnc-npu-")
    path = f"{folder.name}/npu.so"
    subprocess.run(["gcc", *STRICT, *options, *TRAP, "-fPIC", "-shared", *SOURCES, "-o", path], check=True)
    return ctypes.CDLL(path)


NOTHING = np.zeros(0, np.uint8)


def run(stream: bytes, flash: bytes, sram: np.ndarray, *options: str, source: np.ndarray = NOTHING, output: np.ndarray = NOTHING) -> tuple[str, dict[str, int]]:
    """Runs the stream on `sram` (uint8, changed in place), with the host's input `source` and `output` (bytes, changed in place): the reason, and the
    counters by name."""
    counters = (ctypes.c_uint64 * len(COUNTERS))()
    memories = [argument for memory in (sram, source, output) for argument in (memory.ctypes.data_as(ctypes.c_void_p), memory.size)]
    code = library(*options).nnc_npu_run(stream, len(stream), flash, len(flash), *memories, counters)
    return REASONS[code], dict(zip(COUNTERS, counters, strict=True))
