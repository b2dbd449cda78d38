"""A package beside its source, as text and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from nnc_tvm.report.package import NAME_WIDTH
from nnc_tvm.report.table import shorten, table
from nnc_tvm.verify.compare import Difference, LayerDifference, Verification


def verification_text(found: Verification) -> str:
    """Outputs, the table of layers, and what could not be compared."""
    lines = [f"{found.package} against {found.source}, {found.samples} sample{'s' if found.samples != 1 else ''}"]
    lines += [f"  note: {note}" for note in found.notes]
    for output in found.outputs:
        lines.append(f"  output '{output.name}': {describe(output)}, argmax agrees on {output.argmax_agreement:.2%}")
    if found.layers:
        rows = [[str(row.index + 1), shorten(row.name, NAME_WIDTH), row.op, decibels(row), "yes" if row.exact else "no", largest(row)] for row in found.layers]
        lines += ["", table(["", "layer", "operator", "SQNR dB", "exact", "largest difference"], rows)]
    exact = sum(row.exact for row in found.layers)
    lines += ["", f"{exact} of {len(found.layers)} compared layers are exact; values are the package's own, recorded as it ran"]
    if found.not_compared:
        lines.append(f"without a tensor of that name and size in the model: {', '.join(found.not_compared)}")
    return "\n".join(lines)


def describe(difference: Difference) -> str:
    return "exact" if difference.exact else f"{decibels(difference)} dB, largest difference {largest(difference)}"


def decibels(difference: Difference) -> str:
    if difference.sqnr_db is not None:
        return f"{difference.sqnr_db:.1f}"
    return "inf" if difference.exact else "not finite"


def largest(difference: Difference) -> str:
    """With its unit."""
    if difference.max_diff is None:
        return "not finite"
    if difference.exact:
        return "0"
    return f"{difference.max_diff:.0f} step{'s' if difference.max_diff != 1 else ''}" if difference.unit == "steps" else f"{difference.max_diff:.3g}"


WIDTH, BAR, LABEL, TOP, FULL_DB = 900, 16, 330, 60, 80.0
STYLE = "text{font:11px sans-serif;fill:#222}.t{font-size:14px;font-weight:bold}.g{stroke:#ddd}.e{fill:#3a7d44}.q{fill:#3b6ea5}.w{fill:#c0562b}"
WEAK_DB = 20.0


def sqnr_picture(found: Verification) -> str:
    """An SVG with a bar of each layer's SQNR, up to 80 dB: green where it is exact, red below 20 dB."""
    rows: Sequence[LayerDifference] = found.layers
    height = TOP + BAR * len(rows) + 30
    scale = (WIDTH - LABEL - 60) / FULL_DB
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">', f"<style>{STYLE}</style>",
             f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
             f'<text class="t" x="10" y="20">{escape(found.package)}: signal to noise of each layer, dB</text>',
             f'<text x="10" y="38">against {escape(found.source)}, {found.samples} samples; argmax agreement {found.argmax_agreement:.2%}</text>']
    for db in range(0, int(FULL_DB) + 1, 20):
        x = f"{LABEL + db * scale:.1f}"
        parts.append(f'<line class="g" x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{height - 24}"/>')
        parts.append(f'<text x="{x}" y="{height - 10}" text-anchor="middle">{db}</text>')
    for number, row in enumerate(rows):
        y = TOP + BAR * number
        bar = FULL_DB if row.exact else min(max(row.sqnr_db or 0.0, 0.0), FULL_DB)
        kind = "e" if row.exact else "q" if bar >= WEAK_DB else "w"
        value = "exact" if row.exact else decibels(row)
        parts.append(f'<text x="{LABEL - 8}" y="{y + 11}" text-anchor="end">{escape(shorten(row.name, NAME_WIDTH))}</text>')
        parts.append(f'<rect class="{kind}" x="{LABEL}" y="{y + 2}" width="{bar * scale:.1f}" height="{BAR - 4}"/>')
        parts.append(f'<text x="{LABEL + bar * scale + 4:.1f}" y="{y + 11}">{value}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
