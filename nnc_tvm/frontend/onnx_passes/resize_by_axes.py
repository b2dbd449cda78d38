"""Resize in the forms that TVM's importer does not read is taken apart: one axis after the other, a Gather or a product with a constant matrix.

Such are sizes that the scales do not reach exactly, antialias, axes, keep_aspect_ratio_policy, other axes than height and width. Interpolation
is separable, and shapes are fixed: what each output reads is known (ONNX, Resize; its reference implementation says what its text leaves open).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from nnc_tvm.errors import InvalidModel, Unsupported
from nnc_tvm.frontend.onnx_passes.graph import attributes, infer_shapes, static_shapes
from nnc_tvm.frontend.onnx_passes.rewrite import Replacement, rewrite

MOST_ELEMENTS = 1 << 24  # of an axis's matrix


@dataclass(frozen=True)
class Axis:
    """`before` elements become `after`; scale: output over input, also where that is no whole number of elements. roi: of tf_crop_and_resize."""

    axis: int
    before: int
    after: int
    scale: float
    roi: tuple[float, float]

    @property
    def exact(self) -> bool:
        return math.isclose(self.before * self.scale, self.after, rel_tol=1e-5)


def resize_by_axes(model: onnx.ModelProto) -> None:
    """Raises Unsupported for scales, sizes and shapes that are not constant, naming the node."""
    if any(n.op_type == "Resize" for n in model.graph.node):
        shapes = static_shapes(model)
        rewrite(model, "", "Resize", lambda r: _resize(r, shapes))
        infer_shapes(model)


def _resize(r: Replacement, shapes: dict[str, tuple[int, ...]]) -> None:
    values, shape = attributes(r.node), shapes.get(r.input(0))
    if shape is None:
        raise Unsupported(f"the shape of '{r.input(0)}' is not known; export the model with fixed sizes")
    axes = axes_of(r, values, shape)
    changed = [a for a in axes if a.before != a.after or not a.exact or values.get("coordinate_transformation_mode") == "tf_crop_and_resize"]
    if is_plain(values, shape, changed):
        _keep(r, values, shape, axes)
        return
    x = r.input(0)
    for number, a in enumerate(sorted(changed, key=lambda a: a.scale)):
        last = r.node.output[0] if number == len(changed) - 1 else ""
        if values.get("mode", "nearest") == "nearest" and not outside(a, values).any():
            x = r.emit("Gather", x, r.constant(nearest(a, values), f"axis{a.axis}"), output=last, axis=a.axis)
        else:
            x = _product(r, x, a, values, len(shape), last)
    if not changed:
        r.emit("Identity", x, output=r.node.output[0])


def axes_of(r: Replacement, values: dict[str, Any], shape: tuple[int, ...]) -> list[Axis]:
    """What happens to each axis that the node names."""
    axes = [int(a) for a in values.get("axes", range(len(shape)))]
    if any(not -len(shape) <= a < len(shape) for a in axes):
        raise InvalidModel(f"the axes {axes} of a tensor of rank {len(shape)}")
    axes = [a % len(shape) for a in axes]
    before = [shape[a] for a in axes]
    roi = r.value(1, "the region").astype(np.float64) if values.get("coordinate_transformation_mode") == "tf_crop_and_resize" and r.input(1) else np.zeros(0)
    given = r.value(3, "the sizes") if r.input(3) else r.value(2, "the scales")
    if len(given) != len(axes) or not np.all(np.isfinite(given)) or np.any(given <= 0) or roi.size not in (0, 2 * len(axes)):
        raise InvalidModel(f"sizes or scales {given.tolist()} and a region of {roi.size} numbers for {len(axes)} axes")
    regions = [(float(a), float(b)) for a, b in (roi.reshape(2, -1).T if roi.size else np.tile([0.0, 1.0], (len(axes), 1)))]
    if not r.input(3):
        scales = [float(s) for s in given]
        after = [math.floor(n * float(s)) for n, s in zip(before, given, strict=True)]
    else:
        scales, after = [float(s) / n for s, n in zip(given, before, strict=True)], [int(s) for s in given]
        policy = values.get("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            scales = [min(scales) if policy == "not_larger" else max(scales)] * len(axes)
            after = [math.floor(s * n + 0.5) for s, n in zip(scales, before, strict=True)]
    if min(after, default=1) < 1 or any(a * b > MOST_ELEMENTS for a, b in zip(after, before, strict=True) if a != b):
        raise Unsupported(f"a resize from {before} to {after} elements")
    return [Axis(*fields) for fields in zip(axes, before, after, scales, regions, strict=True)]


def is_plain(values: dict[str, Any], shape: tuple[int, ...], changed: list[Axis]) -> bool:
    """Whether TVM's importer reads the node as it is, once its axes are written out."""
    mode = values.get("coordinate_transformation_mode", "half_pixel")
    if len(shape) != 4 or any(a.axis < 2 or not a.exact for a in changed) or values.get("antialias", 0) or mode == "half_pixel_symmetric":
        return False
    return not (mode == "align_corners" and any(a.after == 1 < a.before for a in changed)) and not (mode == "tf_crop_and_resize" and "axes" in values)


def _keep(r: Replacement, values: dict[str, Any], shape: tuple[int, ...], axes: list[Axis]) -> None:
    """The node, with sizes for all axes in place of axes and policy."""
    if "axes" not in values and "keep_aspect_ratio_policy" not in values:
        r.nodes.append(r.node)
        return
    sizes = {a.axis: a.after for a in axes}
    given = r.constant(np.array([sizes.get(i, n) for i, n in enumerate(shape)], np.int64), "sizes")
    kept = {k: v for k, v in values.items() if k not in ("axes", "keep_aspect_ratio_policy")}
    r.emit("Resize", r.input(0), "", "", given, output=r.node.output[0], **kept)


def _product(r: Replacement, x: str, a: Axis, values: dict[str, Any], rank: int, output: str) -> str:
    """x times the axis's matrix, the axis turned to the end and back; what lies outside of the region is a constant."""
    order = [*(i for i in range(rank) if i != a.axis), a.axis]
    turned = order != list(range(rank))
    beyond = outside(a, values)
    filled = np.where(beyond, values.get("extrapolation_value", 0.0), 0.0).astype(np.float32)
    y = r.emit("Transpose", x, perm=order) if turned else x
    y = r.emit("MatMul", y, r.constant(matrix(a, values).T.astype(np.float32), f"axis{a.axis}"), output="" if turned or filled.any() else output)
    if filled.any():
        y = r.emit("Add", y, r.constant(filled, f"outside{a.axis}"), output="" if turned else output)
    return r.emit("Transpose", y, perm=np.argsort(order).tolist(), output=output) if turned else y


def positions(a: Axis, values: dict[str, Any]) -> np.ndarray:
    """float64 (after,): where each output lies among the inputs."""
    x, length = np.arange(a.after, dtype=np.float64), a.before * a.scale
    start, end = a.roi
    mode = values.get("coordinate_transformation_mode", "half_pixel")
    centre = (x + 0.5) / a.scale - 0.5
    known: dict[str, Callable[[], np.ndarray]] = {
        "half_pixel": lambda: centre,
        "pytorch_half_pixel": lambda: centre if length != 1 else np.full(a.after, -0.5),
        "half_pixel_symmetric": lambda: a.before / 2 * (1 - a.after / length) + centre,
        "align_corners": lambda: x * ((a.before - 1) / (length - 1)) if length != 1 else np.zeros(a.after),
        "asymmetric": lambda: x / a.scale,
        "tf_crop_and_resize": lambda: (start * (a.before - 1) + (x * ((end - start) * (a.before - 1) / (length - 1)) if length != 1
                                                                 else np.full(a.after, (end - start) * (a.before - 1) / 2))),
    }
    if mode not in known:
        raise Unsupported(f"the coordinate_transformation_mode '{mode}'; known are {', '.join(known)}")
    return known[mode]()


def outside(a: Axis, values: dict[str, Any]) -> np.ndarray:
    """bool (after,): which outputs have the extrapolation value."""
    at = positions(a, values)
    crops = values.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    return ((at < 0) | (at > a.before - 1)) & crops


def left_of(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(the input to the left of each position, how far right of it that lies: in (0, 1])."""
    left = np.ceil(at) - 1
    return left.astype(np.int64), at - left


def nearest(a: Axis, values: dict[str, Any]) -> np.ndarray:
    """int64 (after,): the input that each output copies."""
    left, ratio = left_of(positions(a, values))
    mode = values.get("nearest_mode", "round_prefer_floor")
    bounds = {"round_prefer_floor": ratio > 0.5, "round_prefer_ceil": ratio >= 0.5, "floor": ratio == 1, "ceil": ratio > 0}
    if mode not in bounds:
        raise Unsupported(f"the nearest_mode '{mode}'; known are {', '.join(bounds)}")
    return np.clip(left + bounds[mode], 0, a.before - 1)


def matrix(a: Axis, values: dict[str, Any]) -> np.ndarray:
    """float64 (after, before): what each output takes of each input."""
    result = np.zeros((a.after, a.before))
    beyond = outside(a, values)
    if values.get("mode", "nearest") == "nearest":
        result[np.arange(a.after), nearest(a, values)] = 1
    else:
        left, ratio = left_of(positions(a, values))
        kernel, reach = kernel_of(values)
        narrow = min(a.scale, 1.0) if values.get("antialias", 0) else 1.0
        first = math.floor(-reach / narrow) + 1
        taps = np.arange(first, 2 - first)[None]
        weights = kernel(np.abs(taps - ratio[:, None]) * narrow)
        at = left[:, None] + taps
        if values.get("exclude_outside", 0):
            weights = np.where((at < 0) | (at >= a.before), 0, weights)
        if values.get("exclude_outside", 0) or narrow < 1:
            weights = weights / weights.sum(1, keepdims=True)
        np.add.at(result, (np.arange(a.after)[:, None], np.clip(at, 0, a.before - 1)), weights)
    result[beyond] = 0
    return result


def kernel_of(values: dict[str, Any]) -> tuple[Callable[[np.ndarray], np.ndarray], int]:
    """(weight by distance, the distance beyond which it is 0)."""
    if values["mode"] == "linear":
        return lambda d: np.clip(1 - d, 0, 1), 1
    if values["mode"] != "cubic":
        raise Unsupported(f"the mode '{values['mode']}'; known are nearest, linear and cubic")
    c = float(values.get("cubic_coeff_a", -0.75))
    return lambda d: np.where(d <= 1, ((c + 2) * d - (c + 3)) * d * d + 1, np.where(d < 2, ((c * d - 5 * c) * d + 8 * c) * d - 4 * c, 0)), 2
