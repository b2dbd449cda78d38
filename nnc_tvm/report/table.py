"""Tables in plain text."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; those whose cells are all numbers or empty are flush right."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    numeric = [all(_is_number(cell) for cell in column[1:]) for column in columns]
    lines = []
    for row in (header, ["-" * width for width in widths], *rows):
        cells = [cell.rjust(width) if right else cell.ljust(width) for cell, width, right in zip(row, widths, numeric, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _is_number(cell: str) -> bool:
    return not cell or cell.replace(" ", "").replace(".", "").replace("%", "").isdigit()


def thousands(value: int) -> str:
    """12345678 as "12 345 678"."""
    return f"{value:,}".replace(",", " ")


def kib(value: int) -> str:
    """Bytes as KiB with two digits behind the point."""
    return f"{value / 1024:.2f} KiB"


def shorten(text: str, width: int) -> str:
    """At most `width` characters; the end of a name tells more than its beginning."""
    return text if len(text) <= width else "..." + text[-(width - 3):]
