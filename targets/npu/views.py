"""Where images lie in SRAM, and the rows of them that a job sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nnc_tvm.schedules.operators.operator import TensorType
from nnc_tvm.targets.npu.operands import Image, Window

MOST_ROWS = (1 << 16) - 1
ALIGNMENT = 16  # of buffers in SRAM

Rows = tuple[int, int]
"""(first, end)"""
Columns = tuple[int, int]
"""(first, end)"""


@dataclass(frozen=True)
class Place:
    """base: SRAM offset. wrap: rows of the ring that keeps some rows of an image; 0: the whole image is there."""

    base: int = 0
    wrap: int = 0


def aligned(size: int) -> int:
    """Bytes that a buffer of `size` takes in SRAM."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def extents(kind: TensorType) -> tuple[int, int, int]:
    """Height, width, channels of an image (1, H, W, C), or of a matrix as a column of pixels."""
    return (kind.shape[1], kind.shape[2], kind.shape[3]) if len(kind.shape) == 4 else (kind.shape[0], 1, kind.shape[1])


def row_bytes(kind: TensorType) -> int:
    """Of an int8 image."""
    _, width, channels = extents(kind)
    return width * channels


def view(kind: TensorType, place: Place, rows: Rows, zero_point: int = 0, columns: Columns | None = None) -> Image:
    """`rows` of an image at `place`; of them `columns` (None: all)."""
    _, width, channels = extents(kind)
    left, right = columns or (0, width)
    whole = Image.dense(place.base + left * channels, rows[1] - rows[0], width, channels, zero_point)
    part = replace(whole, width=right - left)
    if place.wrap:
        return replace(part, first=rows[0] % place.wrap, wrap=place.wrap)
    return replace(part, base=part.base + rows[0] * part.row)


def seen_rows(window: Window, height: int, rows: Rows) -> Rows:
    """The rows of an input of `height` that the windows of output `rows` see: at least one, where they see nothing but padding above it."""
    return _seen(window, 0, height, rows)


def seen_columns(window: Window, width: int, columns: Columns) -> Columns:
    """The columns of an input of `width` that the windows of output `columns` see: at least one, where they see nothing but padding on their left."""
    return _seen(window, 1, width, columns)


def _seen(window: Window, axis: int, extent: int, span: tuple[int, int]) -> tuple[int, int]:
    first = max(0, span[0] * window.strides[axis] - window.padding[axis])
    end = (span[1] - 1) * window.strides[axis] - window.padding[axis] + (window.kernel[axis] - 1) * window.dilation[axis] + 1
    return first, min(extent, max(end, first + 1))


def moved(window: Window, rows: Rows, columns: Columns | None = None) -> Window:
    """The window that output `rows`, and of them `columns` (None: all), have on an image of that alone which they see."""
    spans = (rows, columns or (0, 1))
    starts = [span[0] * stride - before for span, stride, before in zip(spans, window.strides, window.padding, strict=True)]
    return replace(window, padding=(max(0, starts[0]) - starts[0], max(0, starts[1]) - starts[1]))


def seen_view(kind: TensorType, place: Place, window: Window, rows: Rows, columns: Columns, zero_point: int) -> Image:
    """What the windows of output `rows`, and of them `columns`, see of an image at `place`."""
    height, width, _ = extents(kind)
    return view(kind, place, seen_rows(window, height, rows), zero_point, seen_columns(window, width, columns))


def flattened(images: Sequence[Image], window: Window) -> list[Image]:
    """For 1x1 windows the rows of all images, where they are whole, are one column of pixels, which tiles cut anywhere."""
    if window != Window() or any(max(i.height, i.wrap) * i.width > MOST_ROWS or i.row > i.width * i.pixel for i in images):
        return list(images)
    return [replace(image, height=image.height * image.width, width=1, row=image.pixel, first=image.first * image.width, wrap=image.wrap * image.width)
            for image in images]
