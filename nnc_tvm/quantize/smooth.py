"""SmoothQuant: outliers of activations, channel by channel, move into the weights of the matrix products that read them.

Source: Xiao et al., "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models" (ICML 2023), section 4.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm

from nnc_tvm.frontend.model import SourceModel
from nnc_tvm.quantize.calibrate import Tick, calibrate
from nnc_tvm.quantize.channel_scaling import Factors, sites
from nnc_tvm.quantize.plan import Plan
from nnc_tvm.quantize.samples import Samples
from nnc_tvm.relay_passes.graph import operator_name

Expr = Any


class Peak:
    """The largest magnitude of each channel. axis: of the channels, in the tensor without samples."""

    def __init__(self, axis: int) -> None:
        self.axis = axis
        self.value: np.ndarray | float = 0.0

    def update(self, values: np.ndarray) -> None:
        others = tuple(a for a in range(values.ndim) if a != self.axis + 1)
        self.value = np.maximum(self.value, np.abs(values).max(others).astype(np.float64))


def smooth(source: SourceModel, module: tvm.IRModule, strength: float, samples: Samples, tick: Tick) -> tvm.IRModule:
    """The pass: float IRModule -> IRModule, the same meaning. What matrix products alone read is divided per channel by
    peak^strength / weight^(1 - strength); strength in [0, 1].
    """
    plan = Plan(module)
    factors = Factors(plan)
    found = [site for site in sites(plan) if all(operator_name(plan.call(c)) == "relax.matmul" for c in site.consumers)]
    peaks = {site.tensor: Peak(site.axis) for site in found}
    calibrate(source, module, {tensor: [peak] for tensor, peak in peaks.items()}, samples, tick)
    for site in found:
        weight = np.max([factors.contraction(c).input_ranges(factors.weight(c)) for c in site.consumers], 0)
        peak = np.asarray(peaks[site.tensor].value)
        with np.errstate(divide="ignore", invalid="ignore"):
            factors.move(site, np.where((peak > 0) & (weight > 0), peak**strength / weight ** (1 - strength), 1.0))
    return factors.apply(module)
