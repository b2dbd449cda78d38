"""Cross-layer equalization: every channel between two contractions gets the same range of weights on either side.

Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (ICCV 2019), section 4.1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm

from nnc_tvm.quantize.channel_scaling import Factors, sites
from nnc_tvm.quantize.contraction import contraction_of
from nnc_tvm.quantize.plan import Plan

Expr = Any
ROUNDS = 20
CONVERGED = 1.01


def equalize(module: tvm.IRModule) -> tvm.IRModule:
    """The pass: float IRModule -> IRModule, the same meaning. Only ReLU, leaky ReLU and pooling may stand between the two."""
    plan = Plan(module)
    factors = Factors(plan)
    pairs = [site for site in sites(plan) if contraction_of(plan.call(site.makers[0])) is not None]
    for _ in range(ROUNDS):
        largest = 1.0
        for site in pairs:
            before = factors.contraction(site.makers[0]).output_ranges(factors.weight(site.makers[0]))
            after = np.max([factors.contraction(c).input_ranges(factors.weight(c)) for c in site.consumers], 0)
            with np.errstate(divide="ignore", invalid="ignore"):
                s = np.sqrt(before / after)
            s = np.where((before > 0) & (after > 0), s, 1.0)
            largest = max(largest, float(np.maximum(s, 1 / s).max()))
            factors.move(site, s)
        if largest < CONVERGED:
            break
    return factors.apply(module)
