"""Shapes and lists in the checks of both front ends."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from nnc_tvm.errors import InvalidModel

MAX_ELEMENTS = 1 << 31
DTYPES_IN_WORDS = "float32, float64, bool or integers of 8 to 64 bits"


def check_shape(name: str, dims: Iterable[int]) -> None:
    """Raises InvalidModel for extents <= 0 and for tensors of 2^31 elements or more."""
    dims = list(dims)
    if any(d <= 0 for d in dims):
        raise InvalidModel(f"the tensor '{name}' has the shape {dims}: extents must be positive")
    check_elements(name, dims)


def check_elements(name: str, dims: Iterable[int]) -> None:
    """Raises InvalidModel for tensors of 2^31 elements or more."""
    dims = list(dims)
    if math.prod(dims) >= MAX_ELEMENTS:
        raise InvalidModel(f"the tensor '{name}' of shape {dims} has {math.prod(dims):.3g} elements; at most 2^31 - 1 fit")


def one_line(error: BaseException, most: int = 300) -> str:
    """The gist of a message, on one line of at most `most` characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("==>")]
    text = without_operators(" ".join(lines[:3])) or type(error).__name__
    return text if len(text) <= most else text[: most - 3] + "..."


def without_operators(text: str) -> str:
    """TVM quotes an operator with all that it knows of it; its name says enough."""
    while (start := text.find("ir.Op(")) >= 0:
        depth, end = 0, start
        for end in range(start, len(text)):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            if depth == 0 and text[end] == ")":
                break
        name = re.search(r'name="([^"]+)"', text[start:end + 1])
        text = text[:start] + (name[1] if name else "an operator") + text[end + 1:]
    return text


def listed(items: list[str], most: int = 8) -> str:
    """"a, b and 3 more"."""
    return ", ".join(items) if len(items) <= most else ", ".join(items[:most]) + f" and {len(items) - most} more"
