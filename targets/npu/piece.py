"""What a layer gives to the device at once: data in flash and the jobs that use it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from nnc_tvm.errors import Unsupported
from nnc_tvm.schedules.operators import Operator, TensorType
from nnc_tvm.targets.npu.clock import job_cost
from nnc_tvm.targets.npu.commands import Job
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.passes import ceil
from nnc_tvm.targets.npu.tiling import Tiling, best_tiling
from nnc_tvm.targets.npu.views import Columns, Place, Rows, extents
from nnc_tvm.targets.npu.windowed import Conv, Pool

IN_PLACE_COST = 1.1  # what writing over the input may cost, times the fastest tiling's cycles

Build = Callable[[Sequence[Place], int, Rows, Columns], Job]
"""(places of the operator's inputs and output, offset of the data, output rows and columns) -> the job, with any tile and chunk."""


@dataclass(frozen=True, eq=False)
class Piece:
    """An operator, or some channels of its output. data: what it needs of flash, b"" where nothing. rows: of the output.

    columns: of the output, each part a job of its own: several where the input of one row is more than the input buffer holds.
    overwrites: inputs that the output may lie exactly on; in_place: on the only one, where the job has all rows and a tiling for that.
    reach: the most bytes that the first input and the output may take together, where the job has all rows; None: any.
    """

    data: bytes
    build: Build
    rows: Rows
    columns: tuple[Columns, ...]
    config: Config
    overwrites: tuple[int, ...] = ()
    in_place: bool = False
    reach: int | None = None
    tilings: dict[tuple[int, ...], Tiling] = field(default_factory=dict)

    def jobs(self, places: Sequence[Place], data: int, rows: Rows | None = None) -> list[Job]:
        """Of output `rows` (None: all), one for each part of the columns."""
        return [self.job(places, data, rows, columns) for columns in self.columns]

    def job(self, places: Sequence[Place], data: int, rows: Rows | None, columns: Columns) -> Job:
        """Computes output `rows` (None: all) of `columns`. Raises Unsupported where no tile fits the private buffers."""
        job = self.build(places, data, rows or self.rows, columns)
        if not isinstance(job, Conv | Pool):
            return job
        over = rows is None and (self.in_place or self.reach is not None)
        key = (job.source.height, job.source.width, *job.window.padding, job.output.height, job.output.width, over)
        if key not in self.tilings:
            tiling = best_tiling(job, self.config, *((self.in_place, self.reach) if over else ()))
            if tiling is None or job.source.width < 1:  # a part of the columns may see nothing but padding on the right
                raise Unsupported(f"a window's rows of {job.source.width} x {job.source.channels} elements do not fit the NPU's input buffer of "
                                  f"{self.config.input_buffer_bytes} bytes")
            self.tilings[key] = tiling
        return self.tilings[key].of(job)

    @property
    def cycles(self) -> int:
        """Of the jobs of all rows."""
        return sum(job_cost(job, self.config).cycles for job in self.jobs(ANYWHERE, 0))


ANYWHERE = (Place(),) * 3
"""Places of as many images as an operator has."""


def whole(data: bytes, build: Build, output: TensorType, config: Config, overwrites: tuple[int, ...] = ()) -> Piece:
    """Of all columns at once."""
    height, width, _ = extents(output)
    return Piece(data, build, (0, height), ((0, width),), config, overwrites)


def fitting(data: bytes, build: Build, operator: Operator, config: Config, overwrites: tuple[int, ...] = ()) -> Piece:
    """Of all columns where their input fits the input buffer; else of the parts, about as few as do, that take the fewest cycles.

    Raises Unsupported where not even one column fits.
    """
    piece = whole(data, build, operator.output, config, overwrites)
    (_, width), = piece.columns
    if _fits(piece):
        return piece
    _cut(piece, width).jobs(ANYWHERE, 0)  # raises
    least = next(count for count in range(2, width + 1) if _fits(_cut(piece, count)))
    return min((_cut(piece, count) for count in range(least, min(2 * least, width) + 1)), key=lambda cut: cut.cycles)


def _cut(piece: Piece, count: int) -> Piece:
    """In `count` parts of about equal width."""
    (_, width), = piece.columns
    each = ceil(width, count)
    return replace(piece, columns=tuple((first, min(first + each, width)) for first in range(0, width, each)), tilings={})


def _fits(piece: Piece) -> bool:
    try:
        return bool(piece.jobs(ANYWHERE, 0))
    except Unsupported:
        return False


def over_its_input(piece: Piece) -> Piece:
    """`piece`, to lie exactly over its input where a tiling allows that and takes not much longer."""
    if len(piece.columns) > 1:
        return piece
    over = replace(piece, overwrites=(0,), in_place=True, tilings={})
    return over if _fits(over) and over.cycles <= IN_PLACE_COST * piece.cycles else piece
