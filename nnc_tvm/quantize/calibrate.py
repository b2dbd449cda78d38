"""Runs the float model on the samples; collectors keep what quantization wants to know about its tensors."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import tvm

from nnc_tvm.errors import InvalidInput
from nnc_tvm.frontend.model import SourceModel
from nnc_tvm.quantize.histogram import Histogram
from nnc_tvm.quantize.host import HostProgram, with_outputs
from nnc_tvm.quantize.samples import Samples

Expr = Any
Tick = Callable[[int, int], None]
"""tick(samples done, samples in all): moves a progress bar."""
OUTLIER_SHARE, OUTLIER_REACH = 1e-3, 20.0


class Collector(Protocol):
    """Keeps what it needs of a tensor's values."""

    def update(self, values: np.ndarray) -> None:
        """Takes in the tensor of several samples, (n, *shape)."""


class Mean:
    """The mean over samples. total: float64, of the tensor's shape. count: samples."""

    def __init__(self) -> None:
        self.total: np.ndarray | float = 0.0
        self.count = 0

    def update(self, values: np.ndarray) -> None:
        self.total = self.total + values.sum(0, dtype=np.float64)
        self.count += len(values)

    @property
    def value(self) -> np.ndarray:
        return np.asarray(self.total) / self.count


def calibrate(source: SourceModel, module: tvm.IRModule, collectors: Mapping[Expr, Iterable[Collector]], samples: Samples, tick: Tick) -> None:
    """Shows the values that variables of "main" of the float `module` take on the samples to their collectors."""
    names = {p: tensor.name for p, tensor in zip(module["main"].params, source.inputs, strict=True)}
    for block in samples.blocks:
        for parameter in names:
            for collector in collectors.get(parameter, ()):
                collector.update(block[names[parameter]])
    inner = [v for v in collectors if v not in names]
    if not inner:
        return
    with tempfile.TemporaryDirectory(prefix="nnc-tvm-calibrate-") as temporary:
        program = HostProgram(source, with_outputs(module, inner), pathlib.Path(temporary))
        done = 0
        tick(done, samples.count)
        for count, tensors in program.run(samples):
            for variable, values in zip(inner, tensors, strict=True):
                for collector in collectors[variable]:
                    collector.update(values)
            done += count
            tick(done, samples.count)


def check_values(histograms: Mapping[Expr, Histogram], warn: Callable[[str], None]) -> None:
    """Raises InvalidInput naming the first tensor that is not finite; warns of constant ones and of ranges that a few outliers stretch."""
    for variable, histogram in histograms.items():
        if not histogram.finite:
            raise InvalidInput(f"calibration: '{variable.name}' becomes NaN or infinite on the samples; check that the inputs are scaled as in training")
        if histogram.low == histogram.high:
            warn(f"calibration: '{variable.name}' is {histogram.low:g} on all samples; its range cannot be trusted")
            continue
        share = np.cumsum(histogram.counts) / histogram.counts.sum()
        bulk = histogram.centers[[int(np.searchsorted(share, s)) for s in (OUTLIER_SHARE, 1 - OUTLIER_SHARE)]]
        width = max(float(bulk[1] - bulk[0]), 2 * histogram.reach / len(histogram.counts))
        if histogram.high - histogram.low > OUTLIER_REACH * width:
            warn(f"calibration: a few outliers stretch the range of '{variable.name}' {(histogram.high - histogram.low) / width:.0f} times, "
                 f"to [{histogram.low:.3g}, {histogram.high:.3g}]; look for a bad sample")
