"""RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR."""

from __future__ import annotations

from typing import Any

import tflite
from tvm import relax

from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.frontend.tflite_converters.operands import Converter, Operands

Expr = Any


def _size(o: Operands) -> tuple[int, int]:
    size = o.constant(1, "the size of a resize").reshape(-1)
    if size.size != 2 or any(int(s) <= 0 for s in size):
        raise InvalidModel(f"the size {size.tolist()}; height and width must be positive")
    return int(size[0]), int(size[1])


def _coordinates(options: Any) -> str:
    """The coordinate transformation: of output pixel i, i * in / out, with corners or half pixels aligned on demand."""
    if options.AlignCorners() and options.HalfPixelCenters():
        raise Unsupported("a resize with both align_corners and half_pixel_centers; convert the model with one of them")
    return "align_corners" if options.AlignCorners() else "half_pixel" if options.HalfPixelCenters() else "asymmetric"


def bilinear(o: Operands) -> Expr:
    mode = _coordinates(o.options(tflite.ResizeBilinearOptions))
    return o.result(relax.op.image.resize2d(o.real(0), _size(o), layout="NHWC", method="linear", coordinate_transformation_mode=mode))


def nearest(o: Operands) -> Expr:
    """LiteRT's rounding: floor of i * in / out, floor of (i + 1/2) * in / out, or with corners aligned the nearest pixel."""
    mode, size = _coordinates(o.options(tflite.ResizeNearestNeighborOptions)), _size(o)
    # (i + 1/2) * in / out - 1/2 rounded with halves up is the floor of (i + 1/2) * in / out
    rounding = {"asymmetric": "floor", "half_pixel": "round_prefer_ceil", "align_corners": "round_prefer_ceil"}[mode]
    y = relax.op.image.resize2d(o.real(0), size, layout="NHWC", method="nearest_neighbor", coordinate_transformation_mode=mode, rounding_method=rounding)
    return o.result(y)


CONVERTERS: dict[str, Converter] = {"RESIZE_BILINEAR": bilinear, "RESIZE_NEAREST_NEIGHBOR": nearest}
