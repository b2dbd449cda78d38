"""Runs the float model on the samples and keeps what quantization wants to know about its tensors."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm

from nnc_tvm.errors import InvalidInput
from nnc_tvm.frontend.model import SourceModel
from nnc_tvm.quantize.histogram import Histogram
from nnc_tvm.quantize.host import HostProgram
from nnc_tvm.quantize.samples import Samples

Expr = Any
Tick = Callable[[int, int], None]
"""tick(samples done, samples in all): moves a progress bar."""
OUTLIER_SHARE, OUTLIER_REACH = 1e-4, 20.0


@dataclass(frozen=True, eq=False)
class Calibration:
    """histograms: by observed variable. means: float64, of the variable's shape, over all samples."""

    histograms: dict[Expr, Histogram]
    means: dict[Expr, np.ndarray]


def calibrate(source: SourceModel, module: tvm.IRModule, observe: Iterable[Expr], average: Iterable[Expr], samples: Samples, tick: Tick) -> Calibration:
    """Histograms of the variables `observe` and means of the variables `average`, of "main" of the float `module`.

    Raises InvalidInput naming the first tensor that is not finite.
    """
    observe, average = list(observe), list(average)
    parameters = list(module["main"].params)
    names = {p: tensor.name for p, tensor in zip(parameters, source.inputs, strict=True)}
    histograms: dict[Expr, Histogram] = {v: Histogram() for v in observe}
    sums: dict[Expr, np.ndarray] = {v: np.zeros(tuple(int(d) for d in v.ty.shape)) for v in average}

    def take(variable: Expr, values: np.ndarray) -> None:
        if variable in histograms:
            histograms[variable].update(values)
        if variable in sums:
            sums[variable] += values.sum(0, dtype=np.float64)

    for block in samples.blocks:
        for parameter in parameters:
            take(parameter, block[names[parameter]])
    inner = [v for v in dict.fromkeys([*observe, *average]) if v not in names]
    if inner:
        with tempfile.TemporaryDirectory(prefix="nnc-tvm-calibrate-") as temporary:
            program = HostProgram(source, module, inner, pathlib.Path(temporary))
            done = 0
            tick(done, samples.count)
            for count, tensors in program.run(samples):
                for variable, values in zip(inner, tensors, strict=True):
                    take(variable, values)
                done += count
                tick(done, samples.count)
    for variable, histogram in histograms.items():
        if not histogram.finite:
            raise InvalidInput(f"calibration: '{variable.name}' becomes NaN or infinite on the samples; check that the inputs are scaled as in training")
    return Calibration(histograms, {v: total / samples.count for v, total in sums.items()})


def warn_of_poor_data(calibration: Calibration, warn: Callable[[str], None]) -> None:
    """One line for each tensor whose range cannot be trusted: constant, or stretched by a few outliers."""
    for variable, histogram in calibration.histograms.items():
        if histogram.low == histogram.high:
            warn(f"calibration: '{variable.name}' is {histogram.low:g} on all samples; its range cannot be trusted")
            continue
        share = np.cumsum(histogram.counts) / histogram.counts.sum()
        bulk = histogram.centers[[int(np.searchsorted(share, s)) for s in (OUTLIER_SHARE, 1 - OUTLIER_SHARE)]]
        width = max(float(bulk[1] - bulk[0]), 2 * histogram.reach / len(histogram.counts))
        if histogram.high - histogram.low > OUTLIER_REACH * width:
            warn(f"calibration: a few outliers stretch the range of '{variable.name}' {(histogram.high - histogram.low) / width:.0f} times, "
                 f"to [{histogram.low:.3g}, {histogram.high:.3g}]; look for a bad sample")
