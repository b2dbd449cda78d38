"""Quantization by a scale that is computed at run time from the tensor's own range (ONNX, DynamicQuantizeLinear)."""

from __future__ import annotations

from dataclasses import dataclass

from nnc_tvm.schedules.operators.operator import Operator


@dataclass(frozen=True, eq=False)
class DynamicParameters(Operator):
    """y = (zero_point, scale) of the int8 quantization that spans x and 0, in float32 throughout:

    low = min(0, min x), high = max(0, max x), scale = (high - low) / 255, or 1 where that is 0,
    zero_point = rint(clamp(0 - low / scale, 0, 255)) - 128, rint half to even.

    inputs: (x float32, any shape, finite); output float32 (2,)
    """


@dataclass(frozen=True, eq=False)
class DynamicQuantize(Operator):
    """y = clamp(rint(x / scale), -128 - zero_point, 127 - zero_point) + zero_point, as Quantize with parameters of the run.

    inputs: (x float32, scale float32 () or (1,), zero_point int8 () or (1,)); output int8 of x's shape.
    """
