"""Where images lie in SRAM, and the rows of them that a job sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nnc_tvm.schedules.operators.operator import TensorType
from nnc_tvm.targets.npu.commands import Image, Window

MOST_ROWS = (1 << 16) - 1

Rows = tuple[int, int]
"""(first, end)"""


@dataclass(frozen=True)
class Place:
    """base: SRAM offset. wrap: rows of the ring that keeps some rows of an image; 0: the whole image is there."""

    base: int = 0
    wrap: int = 0


def extents(kind: TensorType) -> tuple[int, int, int]:
    """Height, width, channels of an image (1, H, W, C), or of a matrix as a column of pixels."""
    return (kind.shape[1], kind.shape[2], kind.shape[3]) if len(kind.shape) == 4 else (kind.shape[0], 1, kind.shape[1])


def row_bytes(kind: TensorType) -> int:
    """Of an int8 image."""
    _, width, channels = extents(kind)
    return width * channels


def view(kind: TensorType, place: Place, rows: Rows, zero_point: int = 0) -> Image:
    """`rows` of an image at `place`."""
    _, width, channels = extents(kind)
    whole = Image.dense(place.base, rows[1] - rows[0], width, channels, zero_point)
    if place.wrap:
        return replace(whole, first=rows[0] % place.wrap, wrap=place.wrap)
    return replace(whole, base=place.base + rows[0] * whole.row)


def seen_rows(window: Window, height: int, rows: Rows) -> Rows:
    """The rows of an input of `height` that the windows of output `rows` see: at least one, where they see nothing but padding above it."""
    first = max(0, rows[0] * window.strides[0] - window.padding[0])
    end = (rows[1] - 1) * window.strides[0] - window.padding[0] + (window.kernel[0] - 1) * window.dilation[0] + 1
    return first, min(height, max(end, first + 1))


def moved(window: Window, rows: Rows) -> Window:
    """The window that output `rows` have on an image of the rows alone that they see."""
    start = rows[0] * window.strides[0] - window.padding[0]
    return replace(window, padding=(max(0, start) - start, window.padding[1]))


def flattened(images: Sequence[Image], window: Window) -> list[Image]:
    """For 1x1 windows the rows of all images are one column of pixels, which tiles cut anywhere."""
    if window != Window() or any(max(image.height, image.wrap) * image.width > MOST_ROWS for image in images):
        return list(images)
    return [replace(image, height=image.height * image.width, width=1, row=image.pixel, first=image.first * image.width, wrap=image.wrap * image.width)
            for image in images]
