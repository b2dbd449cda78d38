"""Constant arrays in read-only data: each distinct content once, through the assembler's `.incbin`."""

from __future__ import annotations

import numpy as np

ALIGNMENT = 64
"""Bytes every array starts at a multiple of: a cache line, so that a vector load never crosses two."""


class Constants:
    """The constant arrays of a package, numbered in the order of first use. Equal bytes share a number."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}

    def add(self, array: np.ndarray) -> int:
        """The number of the array's content."""
        content = np.ascontiguousarray(array).tobytes()
        return self._numbers.setdefault(content, len(self._numbers))

    @property
    def count(self) -> int:
        return len(self._numbers)

    def image(self) -> tuple[bytes, tuple[int, ...]]:
        """All contents one after the other, each aligned, and the offset of each."""
        image = bytearray()
        offsets = []
        for content in self._numbers:
            image += bytes(-len(image) % ALIGNMENT)
            offsets.append(len(image))
            image += content
        return bytes(image), tuple(offsets)

    def assembly(self, symbol: str, image_file: str) -> str:
        """GNU assembler source that defines `symbol`0, `symbol`1, ... in .rodata from the file that holds `image()`."""
        _, offsets = self.image()
        lines = ["    .section .rodata", f"    .balign {ALIGNMENT}"]
        for number, (content, offset) in enumerate(zip(self._numbers, offsets, strict=True)):
            name = f"{symbol}{number}"
            lines += [
                f"    .balign {ALIGNMENT}", f"    .globl {name}", f"    .type {name}, %object", f"    .size {name}, {len(content)}", f"{name}:",
                f'    .incbin "{image_file}", {offset}, {len(content)}',
            ]
        # the stack of a program that links this stays non-executable; "%" reads on every GNU assembler where "@" starts a comment on ARM
        lines.append('    .section .note.GNU-stack, "", %progbits')
        return "\n".join(lines) + "\n"
