"""Which windows of a convolution's inputs have weights that are not zero, and which of them every output channel takes.

Weights are (O, lines, run): lines of inputs that neighbour each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Slots:
    """What one instruction takes, slot by slot, of blocks of channels in turn.

    block, line, start (S,): the channels, the run of the kernel, and the window's first element in it. places, values (S, block, taps): of each channel,
    the elements of the window and their weights, 0 where there are fewer. bases: (S, taps), of N:M what all channels' places begin at: the rest is 0 to 3.
    """

    block: np.ndarray
    line: np.ndarray
    start: np.ndarray
    places: np.ndarray
    values: np.ndarray
    bases: np.ndarray | None = None


def slots_of(weight: np.ndarray, block: int, window: int, taps: int) -> Slots:
    """The slots of `weight` (O, lines, run): each begins at the first weight of its channels that no slot before has taken, but ends within the run.

    Channels of a block so share windows though their weights lie apart: one that has more of them in a window catches up in the next.
    """
    out, lines, run = weight.shape
    blocks = -(-out // block)
    channel, line, place = np.nonzero(weight)
    row = (channel // block * lines + line) * block + channel % block
    order = np.lexsort((place, row))
    row, place, value = row[order], place[order], weight[channel, line, place][order]
    counts = np.bincount(row, minlength=blocks * lines * block)
    # of every row its places, and behind them `run` as often as a slot may look ahead
    ahead = np.full((len(counts), int(counts.max(initial=0)) + taps), run)
    values = np.zeros(ahead.shape, weight.dtype)
    column = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    ahead[row, column], values[row, column] = place, value
    listed, values_listed = ahead.reshape(blocks * lines, block, -1), values.reshape(blocks * lines, block, -1)
    active, taken, made = np.arange(blocks * lines), np.zeros((blocks * lines, block), np.int64), []
    while len(active):
        index = active[:, None, None], np.arange(block)[:, None], taken[active][..., None] + np.arange(taps)
        places = listed[index]
        first = places[..., 0].min(1)
        left = first < run
        active, places, first = active[left], places[left], np.minimum(first[left], max(run - window, 0))
        inside = places < np.minimum(first + window, run)[:, None, None]
        made.append((active, first, np.where(inside, places - first[:, None, None], 0), np.where(inside, values_listed[index][left], 0)))
        taken[active] += inside.sum(-1)
    which, start, offsets, picked = [np.concatenate(parts) for parts in zip(*made, strict=True)]
    sort = np.argsort(which, kind="stable")
    return Slots(which[sort] // lines, which[sort] % lines, start[sort], offsets[sort], picked[sort])


def slots_of_fours(weight: np.ndarray, n: int, block: int, window: int, taps: int) -> Slots:
    """The slots of `weight` with at most n of every four neighbours: taps / n fours one after the other, those of no channel left out."""
    out, lines, run = weight.shape
    blocks, fours = -(-out // block), taps // n
    total = -(-run // (4 * fours))  # slots of a line
    full = np.pad(weight, ((0, blocks * block - out), (0, 0), (0, total * 4 * fours - run))).reshape(blocks, block, lines, total, fours, 4)
    order = np.argsort(full == 0, axis=-1, kind="stable")[..., :n]  # those that are not zero first
    values = np.take_along_axis(full, order, -1).transpose(0, 2, 3, 1, 4, 5).reshape(blocks, lines, total, block, taps)
    which, line, slot = np.nonzero(values.any((3, 4)))
    first = slot * 4 * fours
    start = np.minimum(first, max(run - window, 0))
    bases = (first - start)[:, None] + np.arange(taps) // n * 4
    order = order.transpose(0, 2, 3, 1, 4, 5).reshape(values.shape)
    return Slots(which, line, start, bases[:, None] + order[which, line, slot], values[which, line, slot], bases)
