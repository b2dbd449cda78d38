"""Quantization by a scale that is computed at run time."""

from __future__ import annotations

import numpy as np

from nnc_tvm.reference.dispatch import evaluate
from nnc_tvm.schedules.operators import DynamicParameters, DynamicQuantize


@evaluate.register
def dynamic_parameters(operator: DynamicParameters, x: np.ndarray) -> np.ndarray:
    zero = np.float32(0)
    low, high = min(zero, x.min()), max(zero, x.max())
    scale = (high - low) / np.float32(255)
    scale = scale if scale > 0 else np.float32(1)
    zero_point = np.rint(np.clip(zero - low / scale, zero, np.float32(255))) - np.float32(128)
    return np.array([zero_point, scale], np.float32)


@evaluate.register
def dynamic_quantize(operator: DynamicQuantize, x: np.ndarray, scale: np.ndarray, zero_point: np.ndarray) -> np.ndarray:
    zero = int(zero_point.reshape(-1)[0])
    rounded = np.rint(np.clip(np.nan_to_num(x / scale.reshape(-1)[0], nan=0.0, posinf=np.inf, neginf=-np.inf), -128 - zero, 127 - zero))
    return (rounded.astype(np.int64) + zero).astype(np.int8)
