"""Weights rounded so that a layer's output, not the weights themselves, stays close: a later weight makes up for what an earlier one lost.

For one output channel with weights w and inputs x the expected squared error is d H d, d = rounded - w and H the mean of x x^T. Weights are
rounded one after the other, and the error is spread over those to come as the inverse of H says. The objective is that of AdaRound
(Nagel et al., ICML 2020), the procedure that of GPTQ (Frantar et al., ICLR 2023).
"""

from __future__ import annotations

import numpy as np

from nnc_tvm.quantize.contraction import Contraction
from nnc_tvm.relay_passes.graph import operator_name

DAMPING = 0.1  # of the mean diagonal of H, added to it: inputs that never vary determine nothing, and a hundred samples are not all that there will be
POSITIONS = 64  # of an image that a sample contributes, spread evenly
LARGEST_DEPTH = 2304  # products per output; beyond, H takes too much memory and weights are rounded to nearest


class Patches:
    """The mean outer product of what a contraction multiplies its weights by. matrix: float64 (groups, depth, depth)."""

    def __init__(self, contraction: Contraction) -> None:
        self.contraction = contraction
        self.matrix = np.zeros((contraction.groups, contraction.depth, contraction.depth))
        self.count = 0

    def update(self, values: np.ndarray) -> None:
        rows = self.rows(values)
        self.matrix += np.einsum("gnk,gnl->gkl", rows, rows, optimize=True)
        self.count += rows.shape[1]

    def rows(self, values: np.ndarray) -> np.ndarray:
        """float32 (groups, positions, depth), depth in the order of `by_inputs`: channels of the group, then the kernel."""
        c = self.contraction
        if operator_name(c.call) == "relax.matmul":
            return values.reshape(1, -1, values.shape[-1])
        a = c.call.attrs
        (sh, sw), (top, left, bottom, right), (dh, dw) = ([int(v) for v in numbers] for numbers in (a.strides, a.padding, a.dilation))
        images = np.moveaxis(values, c.input_axis + 1, 2)
        x = np.pad(images.reshape(-1, *images.shape[2:]), ((0, 0), (0, 0), (top, bottom), (left, right)))
        layout = str(a.kernel_layout)
        kh, kw = (c.weight.shape[layout.index(axis)] for axis in "HW")
        windows = np.lib.stride_tricks.sliding_window_view(x, (dh * (kh - 1) + 1, dw * (kw - 1) + 1), (2, 3))[:, :, ::sh, ::sw, ::dh, ::dw]
        n, channels, oh, ow = windows.shape[:4]
        chosen = np.unique(np.linspace(0, oh * ow - 1, POSITIONS).astype(np.int64))
        patches = windows[:, :, chosen // ow, chosen % ow]
        return patches.reshape(n, c.groups, channels // c.groups, len(chosen), kh * kw).transpose(1, 0, 3, 2, 4).reshape(c.groups, n * len(chosen), -1)


def adaptive_integers(contraction: Contraction, scale: np.ndarray, patches: Patches, largest_step: int = 127) -> np.ndarray:
    """int8, of the weights' shape: the weights in steps of `scale` (channels,), at most `largest_step`, rounded for the inputs that `patches` has seen."""
    c = contraction
    parts = c.by_inputs(c.weight.astype(np.float64) / c.along_outputs(scale.astype(np.float64)))
    groups, inputs, outputs, kernel = parts.shape
    weight = parts.transpose(0, 2, 1, 3).reshape(groups, outputs, inputs * kernel).copy()
    second = patches.matrix / max(patches.count, 1)
    diagonal = np.einsum("gkk->gk", second)
    depth = second.shape[1]
    second = second + np.eye(depth) * np.maximum(DAMPING * diagonal.mean(1), 1e-12)[:, None, None]
    # the rows of this factor are the inverses of H over the weights still to come
    upper = np.linalg.cholesky(np.linalg.inv(second)).swapaxes(1, 2)
    rounded = np.empty_like(weight)
    for k in range(depth):
        rounded[:, :, k] = np.clip(np.rint(weight[:, :, k]), -largest_step, largest_step)
        error = (weight[:, :, k] - rounded[:, :, k]) / upper[:, None, k, k]
        weight[:, :, k + 1:] -= error[:, :, None] * upper[:, None, k, k + 1:]
    moved = np.moveaxis(c.weight, (c.out_axis, c.in_axis), (0, 1))
    return np.moveaxis(rounded.reshape(moved.shape), (0, 1), (c.out_axis, c.in_axis)).astype(np.int8)
