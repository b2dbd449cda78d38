"""Between scales, and in and out of the integer graph."""

from __future__ import annotations

import numpy as np

from nnc_tvm.reference.dispatch import evaluate
from nnc_tvm.reference.rounding import apply_epilogue
from nnc_tvm.schedules.fixed_point import round_half_away
from nnc_tvm.schedules.operators import Dequantize, FlipSign, Quantize, Rescale


@evaluate.register
def rescale(operator: Rescale, x: np.ndarray) -> np.ndarray:
    return apply_epilogue(operator.requantize, x.astype(np.int64) - operator.zero_point)


@evaluate.register
def quantize(operator: Quantize, x: np.ndarray) -> np.ndarray:
    """Infinities saturate; NaN gives the zero point."""
    scaled = np.clip(x.astype(np.float32) / np.float32(operator.scale), operator.low - operator.zero_point, operator.high - operator.zero_point)
    wide = np.nan_to_num(scaled, nan=0.0).astype(np.float64)  # float64 holds |v| + 0.5 exactly
    rounded = round_half_away(wide) if operator.half_away else np.rint(wide)
    return (rounded.astype(np.int64) + operator.zero_point).astype(operator.output.dtype)


@evaluate.register
def dequantize(operator: Dequantize, x: np.ndarray) -> np.ndarray:
    return (x.astype(np.int64) - operator.zero_point).astype(np.float32) * np.float32(operator.scale)


@evaluate.register
def flip_sign(operator: FlipSign, x: np.ndarray) -> np.ndarray:
    return (x.view(np.uint8) ^ np.uint8(0x80)).view(operator.output.dtype)
