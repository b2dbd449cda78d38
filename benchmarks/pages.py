"""Pages of the repository that show what the benchmarks measure."""

from __future__ import annotations

import pathlib


def write_between(page: pathlib.Path, mark: str, text: str) -> None:
    """Puts `text` between the page's two marks, `<!-- mark -->`."""
    comment = f"<!-- {mark} -->"
    before, _, rest = page.read_text().partition(comment)
    _, _, after = rest.partition(comment)
    page.write_text(f"{before}{comment}\n{text}\n{comment}{after}")
