"""Chains: each link in turn."""

from __future__ import annotations

import numpy as np

from nnc_tvm.reference.dispatch import evaluate
from nnc_tvm.schedules.operators import Chain


@evaluate.register
def chain(operator: Chain, x: np.ndarray, *residual: np.ndarray) -> np.ndarray:
    for link in operator.links[:-1]:
        x = evaluate(link, x)
    return evaluate(operator.links[-1], x, *residual)
