"""A CPU's part of docs/sparsity.md: tables, and a picture."""

from __future__ import annotations

import pathlib

from pages import write_between

from zeros.layers import BLOCKS, LAYERS
from zeros.measure import CPUS, Found, Point

DOCS = pathlib.Path(__file__).resolve().parent.parent.parent / "docs"

COLUMNS, WIDTH, HEIGHT, MARGIN = 5, 270, 150, 46
COLOURS = dict(zip(BLOCKS, ("#3a7d44", "#3b6ea5", "#8a5aa8", "#c0562b"), strict=True))
STYLE = "text{font:11px sans-serif;fill:#222}.t{font-weight:bold}.g{stroke:#ddd}polyline{fill:none;stroke-width:2}"


def break_even(points: dict[int, list[Point]], layer: int) -> str:
    """The percent of zeros between which the dense form gives way, or never."""
    won = [zeros for zeros, row in points.items() if row[layer].ratio < 1]
    if not won:
        return "never"
    return f"{max((zeros for zeros in points if zeros < min(won)), default=0)} to {min(won)} %"


def tables(cpu: str, found: Found) -> str:
    """A row for each pattern and layer."""
    percents = list(found["scattered"])
    shares = " | ".join(f"{z} %" for z in percents)
    head = f"### {cpu}: {CPUS[cpu].unit} over the best dense form's\n\n| pattern | layer | {shares} | pays from | bytes at {percents[-1]} % |\n"
    lines = [head + "|---" * (len(percents) + 4) + "|"]
    for pattern in BLOCKS:
        points = found[pattern]
        for k, layer in enumerate(LAYERS):
            cells = [f"{points[z][k].ratio:.2f}" if points[z][k].ratio != 1 else "dense" for z in percents]
            lines.append(f"| {pattern} | {layer.name} | {' | '.join(cells)} | {break_even(points, k)} | {points[percents[-1]][k].size:.2f} |")
    lines += ["", "| pattern | layer | 2:4 | 1:4 |", "|---|---|---|---|"]
    for k, layer in enumerate(LAYERS):
        cells = [f"{row[k].ratio:.2f} {row[k].form}" if row[k].ratio != 1 else "dense" for row in found["N of 4"].values()]
        lines.append(f"| N of 4 | {layer.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def picture(cpu: str, found: Found) -> str:
    """An SVG: a field for each layer, a line for each pattern."""
    width, height = MARGIN + COLUMNS * WIDTH, 30 + -(-len(LAYERS) // COLUMNS) * HEIGHT
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">', f"<style>{STYLE}</style>",
             f'<rect width="{width}" height="{height}" fill="#fff"/>']
    for k, (pattern, colour) in enumerate(COLOURS.items()):
        parts.append(f'<text x="{MARGIN + 160 * k}" y="16" style="fill:{colour}">{pattern}</text>')
    what = f"{cpu}: {CPUS[cpu].unit} over the best dense form's, against percent of zeros"
    parts.append(f'<text class="t" x="{MARGIN + 160 * len(COLOURS)}" y="16">{what}</text>')
    for k, layer in enumerate(LAYERS):
        left, top, wide, high = MARGIN + k % COLUMNS * WIDTH, 52 + k // COLUMNS * HEIGHT, WIDTH - 40, HEIGHT - 56
        parts.append(f'<text class="t" x="{left}" y="{top - 8}">{layer.name}</text>')
        for share in (0.0, 0.5, 1.0):
            y = top + high * (1 - share)
            parts.append(f'<line class="g" x1="{left}" x2="{left + wide}" y1="{y}" y2="{y}"/>')
            parts.append(f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{share}</text>')
        for zeros in (0, 50, 90):
            parts.append(f'<text x="{left + wide * zeros / 100:.0f}" y="{top + high + 14}" text-anchor="middle">{zeros}</text>')
        for pattern, colour in COLOURS.items():
            line = " ".join(f"{left + wide * z / 100:.1f},{top + high * (1 - row[k].ratio):.1f}" for z, row in found[pattern].items())
            parts.append(f'<polyline points="{line}" style="stroke:{colour}"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def write(cpu: str, found: Found) -> None:
    """Puts the tables between the CPU's marks in docs/sparsity.md, and the picture beside it."""
    image = f"sparsity-{cpu.lower()}.svg"
    shown = f"![{cpu}: cost over the best dense form against zeros]({image})"
    write_between(DOCS / "sparsity.md", cpu, f"{tables(cpu, found)}\n\n{shown}")
    (DOCS / image).write_text(picture(cpu, found))
