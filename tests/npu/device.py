"""The emulated NNC-1, built from its C sources and called from Python."""

from __future__ import annotations

import ctypes
import functools
import pathlib
import subprocess
import tempfile
from collections.abc import Sequence

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


def lent(*blocks: tuple[np.ndarray, bool]) -> np.ndarray:
    """Arrays of bytes that the host lends as nnc_npu_lent, and whether the stream may write them."""
    return np.array([number for block, written in blocks for number in (block.ctypes.data, block.size | written << 32)], np.uint64)


def run(stream: bytes, flash: bytes, sram: np.ndarray, *options: str, sources: Sequence[np.ndarray] = (), outputs: Sequence[np.ndarray] = (),
        ) -> tuple[str, dict[str, int]]:
    """Runs the stream on `sram` (uint8, changed in place), with `sources` and, changed in place, `outputs` (bytes) lent by the host: the reason, and the
    counters by name."""
    counters = (ctypes.c_uint64 * len(COUNTERS))()
    blocks = lent(*((block, False) for block in sources), *((block, True) for block in outputs))
    code = library(*options).nnc_npu_run(stream, len(stream), flash, len(flash), sram.ctypes.data_as(ctypes.c_void_p), sram.size,
                                         blocks.ctypes.data_as(ctypes.c_void_p), len(sources) + len(outputs), counters)
    return REASONS[code], dict(zip(COUNTERS, counters, strict=True))
