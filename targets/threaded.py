"""Packages that several threads of an operating system run together."""

from __future__ import annotations

import dataclasses

from nnc_tvm.errors import InvalidInput
from nnc_tvm.targets.base import Target

MOST = 64


def threaded(target: Target, threads: int) -> Target:
    """`target` with `threads` POSIX threads, which are C11's memory model. Raises InvalidInput where it has none."""
    if threads == 1:
        return target
    if not 1 < threads <= MOST:
        raise InvalidInput(f"--threads {threads}: not a number from 1 to {MOST}")
    if "linux" not in target.triple:
        raise InvalidInput(f"--threads {threads}: {target.kind} {target.mcpu} has no operating system with threads; leave --threads out")
    return dataclasses.replace(target, threads=threads)
