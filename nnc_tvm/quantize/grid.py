"""From ranges and weights to scales and zero points."""

from __future__ import annotations

import numpy as np

from nnc_tvm.schedules.quantization import QuantParams

LARGEST_WEIGHTS = {"int8": 127, "int4": 7}  # in steps: the range is symmetric
FRACTIONS = np.linspace(0.4, 1.0, 31)  # of the range of a channel's weights, of which `clipped_scales` takes the best
LARGEST_BIAS = 2**29  # steps of the accumulator; leaves the rest of int32 to the sum


def activation_grid(low: float, high: float) -> QuantParams:
    """int8, asymmetric: [low, high], widened to hold 0, on [-128, 127], with 0 on the grid.

    A range of nothing but 0 gets a scale of 1/128. Source: Jacob et al., CVPR 2018, section 3.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32((high - low) / 255)
    if not scale >= np.finfo(np.float32).tiny:
        scale = np.float32(1 / 128)
    zero_point = int(np.clip(np.rint(-128 - low / float(scale)), -128, 127))
    return QuantParams(np.asarray(scale), np.asarray(zero_point, np.int32), "int8")


def weight_scales(weight: np.ndarray, axis: int, bias: np.ndarray, input_scale: float, largest_step: int = 127) -> np.ndarray:
    """float32 (channels,): integers in [-largest_step, largest_step], symmetric, one scale for each channel of `axis`.

    A channel of zeros has the scale 1; one so small that its bias (channels,) would not fit int32 in units of input_scale * scale gets a larger scale.
    """
    largest = np.abs(weight.astype(np.float64)).max(tuple(a for a in range(weight.ndim) if a != axis)) / largest_step
    least = np.maximum(np.abs(bias) / (input_scale * LARGEST_BIAS), np.finfo(np.float32).tiny)
    return np.where(largest > 0, np.maximum(largest, least), np.maximum(1.0, least)).astype(np.float32)


def clipped_scales(weight: np.ndarray, axis: int, scale: np.ndarray, largest_step: int) -> np.ndarray:
    """float32 (channels,): the fraction of each channel's `scale` (channels,) whose rounding to nearest loses least.

    What exceeds the range is clipped: with few steps, finer ones for all other weights are worth it.
    Source: Banner et al., NeurIPS 2019, with the error measured instead of modelled.
    """
    axes = tuple(a for a in range(weight.ndim) if a != axis)

    def loss(fraction: float) -> np.ndarray:
        steps = (scale * fraction).astype(np.float64).reshape([-1 if a == axis else 1 for a in range(weight.ndim)])
        return np.asarray(np.square(weight_integers(weight, axis, scale * fraction, largest_step) * steps - weight).sum(axes))

    return np.asarray((scale * FRACTIONS[np.argmin([loss(fraction) for fraction in FRACTIONS], axis=0)]).astype(np.float32))


def weight_integers(weight: np.ndarray, axis: int, scale: np.ndarray, largest_step: int = 127) -> np.ndarray:
    """int8: `weight` in steps of `scale` (channels,), rounded to nearest, at most `largest_step` of them."""
    steps = weight.astype(np.float64) / scale.astype(np.float64).reshape([-1 if a == axis else 1 for a in range(weight.ndim)])
    return np.clip(np.rint(steps), -largest_step, largest_step).astype(np.int8)
