"""The NNC-1 beside a host CPU that runs the driver, and the layers that the NNC-1 does not take."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable

from nnc_tvm.errors import InvalidInput
from nnc_tvm.targets.arm_cpu import arm_cpu
from nnc_tvm.targets.base import Companion, Target
from nnc_tvm.targets.npu.config import ARRAYS, Config
from nnc_tvm.targets.x86_cpu import DEFAULT_CPU, x86_cpu

HOSTS: dict[str, Callable[[], Target]] = {"x86_cpu": x86_cpu, "arm_cpu": arm_cpu}
UNITS = {"K": 1 << 10, "M": 1 << 20}
MOST_SRAM = (1 << 32) - 1
MACS = (64, 128, 256, 512, 1024)
RUNTIME = pathlib.Path(__file__).parent / "runtime"


def npu(mcpu: str = DEFAULT_CPU) -> Target:
    """The device as it is by default, beside an x86-64 host."""
    return _beside(x86_cpu(mcpu), Config(), economical=True)


def configure(options: str) -> Target:
    """--npu's comma-separated sram=BYTES (64K, 1M), macs=N, host=KIND and array=NAME (of config.ARRAYS).

    Raises InvalidInput naming the option that does not do.
    """
    given: dict[str, str] = {}
    for key, _, value in (part.partition("=") for part in options.split(",") if part):
        if key not in ("sram", "macs", "host", "array"):
            raise InvalidInput(f"--npu {options}: {key!r} is not an option; use sram=BYTES, macs=N, host=KIND, array=NAME")
        if given.setdefault(key, value) != value:
            raise InvalidInput(f"--npu {options}: {key} is {given[key]} and {value}; say one")
    host = given.get("host", "x86_cpu")
    if host not in HOSTS:
        raise InvalidInput(f"--npu host={host}: not one of {', '.join(HOSTS)}")
    array = given.get("array", "nnc1")
    if array not in ARRAYS:
        raise InvalidInput(f"--npu array={array}: not one of {', '.join(ARRAYS)}")
    config = ARRAYS[array]
    if "macs" in given:
        if given["macs"] not in map(str, MACS):
            raise InvalidInput(f"--npu macs={given['macs']}: not one of {', '.join(map(str, MACS))}")
        config = dataclasses.replace(config, macs_per_cycle=int(given["macs"]))
    if "sram" in given:
        config = dataclasses.replace(config, sram_bytes=_bytes(given["sram"]))
    return _beside(HOSTS[host](), config, economical="sram" not in given)


def _bytes(text: str) -> int:
    number = text[:-1] if text[-1:] in UNITS else text
    if not number.isdecimal() or int(number) == 0:
        raise InvalidInput(f"--npu sram={text}: not a number of bytes such as 65536 or 64K")
    size = int(number) * UNITS.get(text[-1:], 1)
    if size > MOST_SRAM:
        raise InvalidInput(f"--npu sram={text}: the device's addresses reach {MOST_SRAM} bytes")
    return size


def _beside(host: Target, config: Config, economical: bool) -> Target:
    from nnc_tvm.targets.npu.network import stages

    companion = Companion(config, economical, tuple(sorted(RUNTIME.glob("*.c"))), config.defines, frozenset({"nnc_npu_run"}))
    return dataclasses.replace(host, kind="npu", rules=(stages, *host.rules), companion=companion, requantize="fixed")
