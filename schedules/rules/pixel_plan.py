"""Convolutions on planes of pixels: what the ways to walk their lists share.

The image is turned into planes, cell by cell: plane g holds the g-th `depth` channels of every pixel of the padded image, so that a vector
holds pixels. Rows follow each other in the planes; what is computed between them is left out when the result is turned back. Every tile
of pixels has planes of its own with all that its taps read: they are close together, in the first cache.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from nnc_tvm.schedules.isa import Tile
from nnc_tvm.schedules.loops import round_up
from nnc_tvm.schedules.rules.contraction_plan import COPY_COST, Contraction


@dataclass(frozen=True)
class TurningCosts:
    """Estimated instructions. plane: of a cell of so many bytes that is turned into planes; pixel: of a result that is turned back.

    image: of an element of the image, which is copied before; single: where the kernel is a single pixel, and mostly there is no border to add.
    """

    plane: dict[int, float]
    pixel: float
    image: float = COPY_COST
    single: float = COPY_COST


NEON_TURNING = TurningCosts({1: 0.37, 2: 0.69, 4: 1.42}, 0.43)
TURNING = TurningCosts({1: 0.5, 2: 1.0, 4: 1.0}, 0.5, single=0.0)
VECTOR = 32  # bytes that planes begin at multiples of
LINE = 64  # bytes of the cache's lines: planes an even number of them apart would meet in half of its sets


@dataclass(frozen=True)
class Planes:
    """tile: of one output channel by vectors of pixels. rows, width: of the padded image. tiles of tile_pixels cover all outputs.

    cells: planes of a tile. pitch: pixels from one plane to the next; the tile at every tap stays inside.
    """

    tile: Tile
    rows: int
    width: int
    tiles: int
    tile_pixels: int
    cells: int
    pitch: int

    @property
    def line(self) -> int:
        """Pixels of the result's planes, of which those of the tiles are computed."""
        computed = self.tiles * self.tile_pixels
        return computed + LINE * (computed % (2 * LINE) == 0)

    @property
    def tile_cells(self) -> int:
        """Cells of all planes of a tile."""
        return self.cells * self.pitch

    def places(self, c: Contraction) -> np.ndarray:
        """int64 (KH, KW, cells): where each weight's first pixel lies among a tile's planes."""
        i, j, g = np.indices((*c.weight.shape[1:3], self.cells))
        return np.asarray(g * self.pitch + i * (c.dilation[0] * self.width) + j * c.dilation[1])

    @property
    def place_dtype(self) -> str:
        return "uint16" if self.tile_cells <= 1 << 16 else "int32"


class PixelPlan(Protocol):
    """A way to compute a convolution on planes.

    depth: channels of a cell. x_dtype: of the planes. unsigned: whether the planes hold x + 128. name: of the kernel, for people.
    cost: estimated instructions of the layer, in the unit of `contraction_plan.tile_cost`; weight_bytes: of its lists.
    """

    @property
    def planes(self) -> Planes: ...
    @property
    def depth(self) -> int: ...
    @property
    def x_dtype(self) -> str: ...
    @property
    def unsigned(self) -> bool: ...
    @property
    def name(self) -> str: ...
    @property
    def cost(self) -> float: ...
    @property
    def weight_bytes(self) -> int: ...

    def constants(self) -> tuple[np.ndarray, ...]:
        """What `kernel` wants, the bias the last."""
        ...

    def kernel(self, epilogue_values: Sequence[np.ndarray], out_dtype: str) -> Any:
        """PrimFunc (planes of x, *constants, *epilogue_values (O,), y (O * line,))."""
        ...


def planes_of(c: Contraction, lanes: int, vectors: int, depth: int, cell_bytes: int) -> Planes:
    """The planes of cells of `depth` channels, for tiles of `vectors` vectors of `lanes` pixels."""
    (n, oh, ow, _), (kh, kw), (dh, dw) = c.out, c.weight.shape[1:3], c.dilation
    rows, width, pixels = oh + (kh - 1) * dh, ow + (kw - 1) * dw, vectors * lanes
    tiles = math.ceil(((n - 1) * rows * width + (oh - 1) * width + ow) / pixels)
    pitch = round_up((pixels + (rows - oh) * width + (width - ow)) * cell_bytes, VECTOR)
    pitch += VECTOR * (pitch % (2 * LINE) == 0)
    used = np.flatnonzero(c.weight.any((0, 1, 2)))  # of a strided kernel's phases the last ones may not be
    return Planes(Tile(1, vectors, 1, 0), rows, width, tiles, pixels, int(used.max(initial=0)) // depth + 1, pitch // cell_bytes)


def turning_cost(c: Contraction, planes: Planes, cell_bytes: int, features: frozenset[str]) -> float:
    """Estimated instructions of turning the image into planes and the result back, on a CPU with `features`."""
    costs = NEON_TURNING if "neon" in features else TURNING
    pixels = c.out[0] * planes.rows * planes.width
    turned = planes.tiles * planes.tile_cells * costs.plane[cell_bytes] + pixels * c.out[3] * costs.pixel
    return pixels * c.image[3] * (costs.single if math.prod(c.weight.shape[1:3]) == 1 else costs.image) + turned
