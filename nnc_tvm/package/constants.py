"""Constant arrays in read-only data: each distinct content once, through the assembler's `.incbin` or as C."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nnc_tvm.package.emit_header import C_TYPES, c_float

ALIGNMENT = 64
"""Bytes every array starts at a multiple of: a cache line, so that a vector load never crosses two."""


class Constants:
    """The constant arrays of a package, numbered in the order of first use. Equal arrays share a number."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, bytes], int] = {}

    def add(self, array: np.ndarray) -> int:
        """The number of the array's content."""
        content = np.ascontiguousarray(array).tobytes()
        return self._numbers.setdefault((str(array.dtype), content), len(self._numbers))

    @property
    def count(self) -> int:
        return len(self._numbers)

    def image(self) -> tuple[bytes, tuple[int, ...]]:
        """All contents one after the other, each aligned, and the offset of each."""
        image = bytearray()
        offsets = []
        for _, content in self._numbers:
            image += bytes(-len(image) % ALIGNMENT)
            offsets.append(len(image))
            image += content
        return bytes(image), tuple(offsets)

    def assembly(self, symbol: str, image_file: str) -> str:
        """GNU assembler source that defines `symbol`0, `symbol`1, ... in .rodata from the file that holds `image()`."""
        _, offsets = self.image()
        lines = ["    .section .rodata", f"    .balign {ALIGNMENT}"]
        for number, ((_, content), offset) in enumerate(zip(self._numbers, offsets, strict=True)):
            name = f"{symbol}{number}"
            lines += [
                f"    .balign {ALIGNMENT}", f"    .globl {name}", f"    .type {name}, %object", f"    .size {name}, {len(content)}", f"{name}:",
                f'    .incbin "{image_file}", {offset}, {len(content)}',
            ]
        # the stack of a program that links this stays non-executable; "%" reads on every GNU assembler where "@" starts a comment on ARM
        lines.append('    .section .note.GNU-stack, "", %progbits')
        return "\n".join(lines) + "\n"

    def types(self) -> tuple[str, ...]:
        """The dtype of each."""
        return tuple(dtype for dtype, _ in self._numbers)

    def c_source(self, symbol: str, title: str) -> Iterator[str]:
        """Lines of C that define `symbol`0, `symbol`1, ... with their types, for any compiler and byte order."""
        yield from (f"/* {title}: weights, biases, tables: as the kernels read them */", "#include <stdint.h>")
        for number, (dtype, content) in enumerate(self._numbers):
            values = np.frombuffer(content, dtype)
            spelled = [c_float(v, dtype) for v in values.tolist()] if dtype.startswith("float") else list(map(_c_integer, values.tolist()))
            declaration = f"const {C_TYPES[dtype]} {symbol}{number}[{values.size}]"
            yield from ("", f"extern {declaration};", f"{declaration} = {{")
            yield from (f"    {', '.join(spelled[k:k + 24])}," for k in range(0, len(spelled), 24))
            yield "};"


def _c_integer(value: int) -> str:
    """The most negative ones are no literals of C."""
    if value in (-(2**31), -(2**63)):
        return f"(-{_c_integer(-value - 1)} - 1)"
    return str(int(value)) if abs(value) < 2**31 else f"INT64_C({value})" if value < 2**63 else f"UINT64_C({value})"
