"""The one entry of the oracle."""

from __future__ import annotations

from functools import singledispatch

import numpy as np

from nnc_tvm.schedules.operators import Operator


@singledispatch
def evaluate(operator: Operator, *inputs: np.ndarray) -> np.ndarray:
    """The operator's output for `inputs`, of the type `operator.output`, by the equation in the operator's docstring.

    Integers are exact. Float sums are taken in float64 and rounded to float32 once: kernels agree to their own rounding.
    Raises OverflowError where an int32 accumulator would not hold a sum.
    """
    raise NotImplementedError(f"the reference does not know {type(operator).__name__}")
