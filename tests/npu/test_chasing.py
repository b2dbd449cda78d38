"""Row-chasing: what the device takes is safe, byte for byte, and the compiler's distances are the smallest that it takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from nnc_tvm.targets.npu.chasing import distance
from nnc_tvm.targets.npu.commands import Conv, Pool, encode
from nnc_tvm.targets.npu.config import Config
from nnc_tvm.targets.npu.operands import Image
from tests.kernels.cases import random_generator
from tests.npu.cases import KINDS, addresses, read_image, write_image
from tests.npu.device import run


def accesses(job: Conv | Pool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What is read and then written, in the order of the device: rows of the input of each pass, whole, and the elements of the output."""
    tiles = [range(at, min(at + job.tile_rows, job.output.height)) for at in range(0, job.output.height, job.tile_rows)]
    chunks = [slice(at, at + job.chunk) for at in range(0, job.output.channels, job.chunk)]
    by_chunk, outer = isinstance(job, Pool) or job.depthwise, isinstance(job, Conv) and job.chunks_outer
    read, written = addresses(job.source), addresses(job.output)
    (kh, _), (sh, _), (top, _), (dh, _) = job.window.kernel, job.window.strides, job.window.padding, job.window.dilation
    order = tiles[::-1] if job.upward else tiles
    for tile, chunk in [(t, c) for c in chunks for t in order] if outer else [(t, c) for t in order for c in chunks]:
        rows = sorted({y * sh - top + i * dh for y in tile for i in range(kh)} & set(range(job.source.height)))
        seen = read[rows][..., chunk] if by_chunk else read[rows]
        again = by_chunk or job.slice or outer or chunk.start == 0  # otherwise the tile's input is still in its buffer
        yield (seen if again else seen[:0]).reshape(-1), written[tile.start:tile.stop, :, chunk].reshape(-1)


def safe(job: Conv | Pool) -> bool:
    """Whether nothing is read that the job has written."""
    dirty = np.zeros(max(addresses(image).max() for image in (job.source, job.output)) + 1, bool)
    for read, written in accesses(job):
        if dirty[read].any():
            return False
        dirty[written] = True
    return True


def apart(image: Image, base: int) -> Image:
    """Without wrap and with no gaps between its elements."""
    return Image.dense(base, image.height, image.width, image.channels, image.zero_point)


@pytest.mark.parametrize("kind", ["convolution", "pooling"])
def test_distances_are_safe_and_the_smallest(kind: str) -> None:
    rng, nearer = random_generator(), 0
    for number in range(250):
        case = KINDS[kind](rng)
        job = case.commands[-1]
        assert isinstance(job, Conv | Pool)
        if isinstance(job, Conv) and job.residual is not None:
            continue
        x = read_image(case.sram, job.source)
        room = job.source.elements + job.output.elements
        source = apart(job.source, case.sram.size + room)
        job = replace(job, source=source, output=apart(job.output, 0))
        below, above = distance(job)
        nearer += (below < job.output.elements) + (above < source.elements)
        outer, by_chunk = isinstance(job, Conv) and job.chunks_outer, isinstance(job, Pool) or job.depthwise or job.slice > 0
        # the device takes no overlap where chunks are outermost or input rows go back, and looks at whole rows where it takes chunks one by one
        loose = outer or job.window.dilation[0] > 1 or (by_chunk and job.chunk < job.output.channels)
        random = [(int(at), bool(rng.integers(2))) for at in rng.integers(-room, room, 3)]
        for at, upward in ((-below, False), (1 - below, False), (above, True), (above - 1, True), *random):
            placed = replace(job, output=replace(job.output, base=source.base + at), upward=upward)
            taken = at >= above if upward else at <= -below
            disjoint = at <= -job.output.elements or at >= source.elements
            in_place = isinstance(job, Conv) and job.depthwise and at == 0 and job.tile_rows >= job.output.height and placed.output.row == source.row
            sram = np.concatenate([case.sram, np.zeros(3 * room, np.uint8)])
            write_image(sram, source, x)
            reason, _ = run(encode([*case.commands[:-1], placed], Config(), sram.size, len(case.flash)), case.flash, sram)
            assert (reason == "OK") == (taken or disjoint or in_place), (number, reason, at, below, above, placed)
            if reason == "OK":
                assert safe(placed) and (read_image(sram, placed.output) == case.expected).all(), (number, at, below, above, placed)
            elif at == (above - 1 if upward else 1 - below) and not loose:
                assert not safe(placed), (number, at, below, above, placed)
    assert nearer > 50
