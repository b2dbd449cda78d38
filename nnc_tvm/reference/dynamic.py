"""Quantization by scales that are computed at run time."""

from __future__ import annotations

import numpy as np

from nnc_tvm.reference.dispatch import evaluate
from nnc_tvm.reference.rounding import rescale_at_run_time
from nnc_tvm.schedules.fixed_point import round_half_away
from nnc_tvm.schedules.operators import DynamicPad, DynamicParameters, DynamicQuantize, DynamicRescale


@evaluate.register
def dynamic_parameters(operator: DynamicParameters, x: np.ndarray) -> np.ndarray:
    zero, rows = np.float32(0), x.reshape(operator.rows, -1)
    low, high = np.minimum(zero, rows.min(1)), np.maximum(zero, rows.max(1))
    scale = np.maximum(-low, high) / np.float32(127) if operator.symmetric else (high - low) / np.float32(255)
    scale = np.where(scale > 0, scale, np.float32(1))
    below = np.clip(zero - low / scale, zero, np.float32(255))
    if operator.symmetric:
        zero_point = np.zeros_like(scale)
    elif operator.half_away:
        zero_point = round_half_away((below - np.float32(128)).astype(np.float64)).astype(np.float32)
    else:
        zero_point = np.rint(below) - np.float32(128)
    return np.stack([zero_point, scale])


@evaluate.register
def dynamic_quantize(operator: DynamicQuantize, x: np.ndarray, *parameters: np.ndarray) -> np.ndarray:
    zero, scale = parameters[0] if len(parameters) == 1 else (parameters[1].reshape(-1), parameters[0].reshape(-1))
    zero, rows = zero.astype(np.int64)[:, None], x.reshape(len(zero), -1)
    quotient = rows * (np.float32(1) / scale[:, None]) if operator.half_away and len(parameters) == 1 else rows / scale[:, None]
    scaled = np.clip(np.nan_to_num(quotient, nan=0.0, posinf=np.inf, neginf=-np.inf), -128 - zero, 127 - zero).astype(np.float64)
    rounded = round_half_away(scaled) if operator.half_away else np.rint(scaled)
    result = (rounded.astype(np.int64) + zero).astype(np.int8).reshape(x.shape)
    return bordered(result, parameters[0], operator.padding) if any(operator.padding) else result


@evaluate.register
def dynamic_pad(operator: DynamicPad, x: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    return bordered(x, parameters, operator.padding)


def bordered(x: np.ndarray, parameters: np.ndarray, padding: tuple[int, int, int, int]) -> np.ndarray:
    """Images with a border of their row's zero point."""
    top, left, bottom, right = padding
    zero = np.repeat(parameters[0].astype(np.int8), len(x) // parameters.shape[1]).reshape(-1, 1, 1, 1)
    # the border's zero point differs from image to image: padded as the distance from it, which int16 holds
    return (np.pad(x.astype(np.int16) - zero, ((0, 0), (top, bottom), (left, right), (0, 0))) + zero).astype(np.int8)


@evaluate.register
def dynamic_rescale(operator: DynamicRescale, acc: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    return rescale_at_run_time(operator.epilogue, acc, parameters)
