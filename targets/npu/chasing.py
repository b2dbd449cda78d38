"""Row-chasing: how far from its input an output must lie that is written over input rows which no later tile reads. docs/npu.md, "CONV, DWCONV"."""

from __future__ import annotations

import functools
import itertools

from nnc_tvm.targets.distance import Distance
from nnc_tvm.targets.npu.operands import Image, Window
from nnc_tvm.targets.npu.passes import by_chunk, ceil
from nnc_tvm.targets.npu.views import Rows
from nnc_tvm.targets.npu.windowed import Conv, Pool


def distance(job: Conv | Pool) -> Distance:
    """Of the output to the input, with tiles downward or UPWARD: the smallest that the device takes."""
    source, output, own = job.source, job.output, int((by_chunk(job) or job.slice > 0) and job.chunk < job.output.channels)
    spans = _spans(job.window, source.height, output.height, job.tile_rows)
    apart = Distance(_end(output, output.height), _end(source, source.height))
    if source.wrap or output.wrap or (isinstance(job, Conv) and job.chunks_outer):
        return apart
    below, above = -apart.above, -apart.below
    for number, span in enumerate(spans):
        if span is None:
            continue
        done, left = number + own, number + 1 - own  # tiles that have been written when this one is read: the first `done`, or all from `left` on
        if done:
            below = max(below, _end(output, min(done * job.tile_rows, output.height)) - span[0] * source.row)
        if left < len(spans):
            above = max(above, _end(source, span[1]) - left * job.tile_rows * output.row)
    down, up = (all(a[side] <= b[side] for a, b in itertools.pairwise(filter(None, spans))) for side in (0, 1))  # whether input rows never go back
    return Distance(min(below, apart.below) if down else apart.below, min(above, apart.above) if up else apart.above)


def extent(job: Conv | Pool) -> int:
    """The fewest bytes that input and output take together, written one over the other."""
    return distance(job).extent(job.output.elements, job.source.elements)


def _end(image: Image, rows: int) -> int:
    """Bytes from an image's base to the end of its first `rows` rows."""
    return (rows - 1) * image.row + (image.width - 1) * image.pixel + image.channels


@functools.lru_cache(1 << 12)
def _spans(window: Window, source_height: int, height: int, rows: int) -> tuple[Rows | None, ...]:
    """From the first to behind the last input row that each tile of `rows` output rows reads; None where it reads none. Remembered: a search asks for the
    same again and again."""
    return tuple(_span(window, source_height, range(first, min(first + rows, height))) for first in range(0, height, rows))


def _span(window: Window, source_height: int, outputs: range) -> Rows | None:
    (stride, _), (before, _), (dilation, _), (kernel, _) = window.strides, window.padding, window.dilation, window.kernel
    low, high = source_height, 0
    for y in outputs:
        start = y * stride - before
        first, last = max(0, ceil(-start, dilation)), min(kernel - 1, (source_height - 1 - start) // dilation)  # taps inside the image
        if first <= last:
            low, high = min(low, start + first * dilation), max(high, start + last * dilation + 1)
    return (low, high) if high else None
