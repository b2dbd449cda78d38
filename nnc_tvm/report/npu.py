"""What an NPU does of a package, layer by layer, as text and as a picture of its two lanes in time."""

from __future__ import annotations

from xml.sax.saxutils import escape

from nnc_tvm.package.manifest import Manifest
from nnc_tvm.package.npu_info import NpuInfo, NpuLayer
from nnc_tvm.report.package import NAME_WIDTH
from nnc_tvm.report.table import kib, shorten, table, thousands

HEADER = ("", "layer on the NPU", "operator", "output", "weights", "MACs", "skipped", "flash bytes", "of plain", "cycles", "array", "SRAM", "DMA",
          "utilization", "SRAM bytes", "over input", "host bytes", "bound")


def npu_text(manifest: Manifest) -> str:
    """The table of the NPU's layers, the bounds beside the total, and what stays with the host; "" for packages without an NPU."""
    info = manifest.npu
    if info is None:
        return ""
    rows = [[str(number), shorten(row.name, NAME_WIDTH), operators(row), "x".join(map(str, row.shape)), row.weights, thousands(row.macs),
             _share(row.macs_skipped, row.macs), thousands(row.flash_bytes), _share(row.flash_bytes, row.plain_flash_bytes),
             *map(thousands, (row.cycles, row.array_cycles, row.sram_cycles, row.dma_cycles)),
             f"{row.utilization:.1%}", thousands(row.sram_bytes), thousands(row.over_bytes) if row.over_bytes else "",
             thousands(row.host_bytes) if row.host_bytes else "", row.bound]
            for number, row in enumerate(info.layers, 1)]
    return "\n".join([table(HEADER, rows), "", *_totals(info), *_host(manifest)])


def operators(layer: NpuLayer) -> str:
    """With the one whose epilogue it is."""
    return f"{layer.epilogue_of} + {layer.op}" if layer.epilogue_of else layer.op


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if part else ""


def _totals(info: NpuInfo) -> list[str]:
    used = info.macs / (info.cycles * info.macs_per_cycle) if info.cycles else 0.0
    bounds = {"multiplications": info.bounds.macs, "flash": info.bounds.flash, "images": info.bounds.images}
    return [
        f"total        {thousands(info.cycles)} cycles, {used:.1%} of {info.macs_per_cycle} MACs a cycle, {kib(info.sram_bytes)} of SRAM",
        f"lower bounds {', '.join(f'{name} {thousands(cycles)}' for name, cycles in bounds.items())} cycles; "
        f"the total is {info.cycles / max(1, *bounds.values()):.2f} times the largest",
        *_savings(info),
    ]


def _savings(info: NpuInfo) -> list[str]:
    """A line for each way in which weights are compressed."""
    s = info.savings
    lines = []
    if s.macs_skipped:
        lines.append(f"zeros        {thousands(s.macs_skipped)} of {thousands(info.macs)} MACs are skipped, {_share(s.macs_skipped, info.macs)}")
    if s.int4_macs:
        lines.append(f"4 bits       {thousands(s.int4_macs)} of {thousands(info.macs)} MACs are done two at a time, {_share(s.int4_macs, info.macs)}")
    if s.array_cycles < s.plain_array_cycles:
        lines.append(f"array        {thousands(s.array_cycles)} cycles where plain weights of 8 bits would take {thousands(s.plain_array_cycles)}: "
                     f"{_share(s.array_cycles, s.plain_array_cycles)}")
    if s.flash_bytes < s.plain_flash_bytes:
        lines.append(f"flash        {thousands(s.flash_bytes)} bytes of weights where plain ones of 8 bits would take {thousands(s.plain_flash_bytes)}: "
                     f"{_share(s.flash_bytes, s.plain_flash_bytes)}")
    if s.factors:
        lines.append(f"low rank     {s.factors} pair{'s' * (s.factors > 1)} of factors: {thousands(s.factor_macs)} MACs and {thousands(s.factor_bytes)} bytes "
                     f"where the layers that they stand for would take {thousands(s.whole_macs)} and {thousands(s.whole_bytes)}")
    return lines


def _host(manifest: Manifest) -> list[str]:
    """Layers of the CPU, and why."""
    assert manifest.npu is not None
    networks = {row.layer for row in manifest.npu.layers}
    rows = [[shorten(layer.name, NAME_WIDTH), layer.op, thousands(layer.macs), layer.why]
            for number, layer in enumerate(manifest.layers) if number not in networks and layer.kernels]
    return ["", table(("layer on the host", "operator", "MACs", "why"), rows)] if rows else ["no layer runs on the host"]


WIDTH, LEFT, LANE, TOP, TICKS = 1200, 60, 34, 60, 8
TRANSFERS = ("Dma", "Fetch", "Store")
COLOURS = {"Dma": "#c0862b", "Fetch": "#d9b44a", "Store": "#8c6d1f", "Conv": "#3b6ea5", "Pool": "#3a7d44", "Add": "#7a5195", "Mul": "#b05f8f",
           "Lut": "#5f9ea0", "Softmax": "#a05f5f"}
OTHER = "#666666"
STYLE = "text{font:11px sans-serif;fill:#222}.t{font-size:14px;font-weight:bold}.g{stroke:#ddd}rect{stroke:#fff;stroke-width:.3}"


def schedule_picture(manifest: Manifest) -> str:
    """An SVG of one inference in time: what the DMA does, and what the array. Each piece tells its layer when pointed at."""
    info = manifest.npu
    assert info is not None
    height, scale = TOP + 2 * LANE + 60, (WIDTH - LEFT - 20) / max(1, info.cycles)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">', f"<style>{STYLE}</style>",
             f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>', f'<text class="t" x="10" y="20">{escape(manifest.name)}: the NPU in time</text>',
             f'<text x="10" y="38">{escape("; ".join(_totals(info)))}</text>']
    for tick in range(TICKS + 1):
        cycles = info.cycles * tick // TICKS
        x = f"{LEFT + cycles * scale:.1f}"
        parts.append(f'<line class="g" x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{TOP + 2 * LANE}"/>')
        parts.append(f'<text x="{x}" y="{TOP + 2 * LANE + 14}" text-anchor="middle">{thousands(cycles)}</text>')
    for lane, name in enumerate(("DMA", "array")):
        parts.append(f'<text x="{LEFT - 8}" y="{TOP + LANE * lane + 20}" text-anchor="end">{name}</text>')
    for command in info.commands:
        layer = info.layers[command.layer]
        y = TOP + LANE * (command.op not in TRANSFERS)
        title = f"{layer.name} ({operators(layer)}): {command.op}, cycles {thousands(command.start)} to {thousands(command.end)}"
        parts.append(f'<rect x="{LEFT + command.start * scale:.2f}" y="{y}" width="{(command.end - command.start) * scale:.2f}" height="{LANE - 6}" '
                     f'fill="{COLOURS.get(command.op, OTHER)}"><title>{escape(title)}</title></rect>')
    kinds = list(dict.fromkeys(command.op for command in info.commands))
    for number, kind in enumerate(kinds):
        left = LEFT + 90 * number
        parts.append(f'<rect x="{left}" y="{height - 24}" width="10" height="10" fill="{COLOURS.get(kind, OTHER)}"/>')
        parts.append(f'<text x="{left + 14}" y="{height - 15}">{kind}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
