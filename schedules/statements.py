"""Statements that kernels which are written out share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tvm.script.ir_builder import tirx as T


@contextmanager
def condition(test: Any, needed: Any) -> Iterator[None]:
    """`if test`, where it is needed."""
    if needed:
        with T.If(test), T.Then():
            yield
    else:
        yield


def store(buffer: Any, value: Any, *index: int) -> None:
    """buffer[*index] = value, a vector of the buffer's innermost extent."""
    T.buffer_store(buffer, value, [*index, T.ramp(0, 1, int(buffer.shape[-1]))])
